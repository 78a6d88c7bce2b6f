"""Standards and native presets under one set of names, as text for ``nmpsim show dram``."""

from __future__ import annotations

from collections.abc import Sequence

from nmpsim.errors import Fault, SpecError
from nmpsim.spec.faults import nearest
from nmpsim.spec.standard.describe import describe_protocol
from nmpsim.spec.standard.preset import load_preset, preset_names, preset_protocol
from nmpsim.spec.standard.protocols import protocol_of
from nmpsim.spec.standard.read import read_table, standard_names


def show_dram(
    names: Sequence[str], organisation: str | None = None, timing: str | None = None, *, peer_exact: bool = False
) -> str:
    """Return the protocols of standards and native presets as text.

    Parameters
    ----------
    names : sequence of str
        Names of `standard_names` (whatever the case) or `preset_names`, or paths of protocol tables (``.toml``).
    organisation, timing : str, optional
        Device and speed bin of a standard; its own defaults if None.
    peer_exact : bool
        Leave out the rules that Ramulator 2.1 does not have.

    Raises
    ------
    SpecError
        With the faults of all names together.
    """
    texts: list[str] = []
    faults: list[Fault] = []
    for name in names:
        try:
            texts.append(_shown(name, organisation, timing, peer_exact=peer_exact))
        except SpecError as error:
            faults += error.faults
    if faults:
        raise SpecError("cannot show that", faults)
    return "\n\n".join(texts)


def _shown(name: str, organisation: str | None, timing: str | None, *, peer_exact: bool) -> str:
    """Return one protocol as text."""
    if name in preset_names():
        options = {"--organisation": organisation, "--timing": timing, "--peer-exact": peer_exact or None}
        faults = [
            Fault(option, f"{value!r} for the native preset {name}", "standards only", f"leave out {option}")
            for option, value in options.items()
            if value is not None
        ]
        if faults:
            raise SpecError(f"cannot show {name}", faults)
        preset = load_preset(name)
        return f"{preset.preset.description}\n" + describe_protocol(preset_protocol(name), preset.port.ports.value)
    if name.lower() not in standard_names() and not name.endswith(".toml"):
        known = (*standard_names(), *preset_names())
        close = nearest(name, known)
        allowed = f"{', '.join(known)}, or a path that ends in .toml"
        advice = f"did you mean {close}?" if close else "use one of these, or give the path of a protocol table"
        raise SpecError("no such DRAM", [Fault("dram", repr(name), allowed, advice)])
    table = read_table(name)
    protocol = protocol_of(table, organisation, timing, peer_exact=peer_exact)
    lines = [table.standard.description]
    for kind, asked, default, presets in (
        ("organisation", organisation, table.standard.organisation, table.organisation),
        ("timing", timing, table.standard.timing, table.timing),
    ):
        lines.append(f"{kind} {asked or default} (of {', '.join(presets)})")
    return "\n".join([*lines, describe_protocol(protocol)])
