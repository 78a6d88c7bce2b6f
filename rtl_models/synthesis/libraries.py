"""The cell libraries that blocks are mapped to, and what the flow must know of each beside its Liberty files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OSU018 = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
"""Where Debian's package qflow-tech-osu018 puts the library of Oklahoma State University for 180 nm."""


@dataclass(frozen=True)
class Kit:
    """A cell library and the flow's settings for it.

    Parameters
    ----------
    name : str
    files : tuple of Path
        Its Liberty files.
    flops : Path
        The one that holds the flip-flops.
    flop : str
        Flip-flop that the mapping uses; its clock-to-output delay stands before every input of a block.
    driver : str
        Cell that drives the inputs of a block.
    output_fF : float
        Load of an output.
    unused : tuple of str
        Patterns of cells that the mapping leaves out.
    small : tuple of str
        Patterns of the smallest drive strengths, which fast mappings leave out too.
    wire_fF_per_um : float
        Capacitance of a signal wire.
    wire_source : str
        Where that comes from.
    density : float
        Share of a placed block's area that cells cover.
    density_source : str
        Where that comes from.
    """

    name: str
    files: tuple[Path, ...]
    flops: Path
    flop: str
    driver: str
    output_fF: float
    unused: tuple[str, ...]
    small: tuple[str, ...]
    wire_fF_per_um: float
    wire_source: str
    density: float
    density_source: str


def find_kit(asap7: str | None) -> Kit:
    """Return the kit of ASAP7 where a folder is given, otherwise that of osu018.

    Parameters
    ----------
    asap7 : str or None
        Folder of the Liberty files of ASAP7, RVT, typical corner: AO, INVBUF, OA, SEQ, SIMPLE.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message says what to do.
    """
    return _asap7(Path(asap7)) if asap7 else _osu018()


def _asap7(folder: Path) -> Kit:
    parts: dict[str, Path] = {}
    for part in ("AO", "INVBUF", "OA", "SEQ", "SIMPLE"):
        found = sorted(folder.glob(f"asap7sc7p5t_{part}_RVT_TT_nldm_*.lib*"))
        if not found:
            raise FileNotFoundError(
                f"ASAP7 library {folder}: got no file asap7sc7p5t_{part}_RVT_TT_nldm_*.lib or .lib.gz; allowed: a "
                "folder with the five of them (AO, INVBUF, OA, SEQ, SIMPLE); they are in the public ASAP7 PDK"
            )
        parts[part] = found[0]
    flow = "OpenROAD-flow-scripts, platform asap7"
    return Kit(
        name="asap7-rvt-tt",
        files=tuple(parts.values()),
        flops=parts["SEQ"],
        flop="DFFHQNx1_ASAP7_75t_R",
        driver="BUFx2_ASAP7_75t_R",
        output_fF=3.898,  # four buffers, as in OpenROAD-flow-scripts
        unused=("SDF*", "ICG*", "DFFASRHQN*", "DFFHQx*", "DFFL*", "DLL*", "DHL*", "FAx1*", "HAxp5*", "HB*", "TIE*"),
        small=("*x1p*", "*xp*"),  # those that OpenROAD-flow-scripts leaves out
        wire_fF_per_um=0.173,
        wire_source=f"{flow}, setRC.tcl: set_wire_rc -signal 0.173 fF/um",
        density=0.60,
        density_source=f"{flow}, config.mk: PLACE_DENSITY 0.60",
    )


def _osu018() -> Kit:
    if not OSU018.exists():
        raise FileNotFoundError(
            f"cell library: got no {OSU018}; allowed: that file, or a folder with the Liberty files of ASAP7; "
            "run `apt-get install qflow-tech-osu018`, or give `make synth ASAP7_LIB=folder`"
        )
    return Kit(
        name="osu018",
        files=(OSU018,),
        flops=OSU018,
        flop="DFFPOSX1",
        driver="BUFX2",
        output_fF=60.0,  # four buffers
        unused=("LATCH*", "TBUF*", "CLKBUF*", "DFFSR*", "DFFNEG*"),
        small=(),
        wire_fF_per_um=0.2,
        wire_source="assumed: the capacitance of a wire per length hardly changes from node to node",
        density=0.60,
        density_source="assumed: as for ASAP7",
    )


UM_PER_SINK = 4.0
"""Length of wire to one more sink, in units of the side of a mean cell (assumed: sinks of a net of a compact block lie
a few cells apart; a placement was not made)."""
