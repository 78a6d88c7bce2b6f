"""Configuration files of BookSim 2, ``key = value;``, as networks of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from nmpsim.conformance.case import CaseError
from nmpsim.errors import Fault
from nmpsim.noc.router.settings import RouterSettings, allocator_of
from nmpsim.noc.synthetic.run import Sampling
from nmpsim.noc.topology import Topology, crossbar, mesh, read_anynet, torus

COUNTS = {
    "num_vcs": 8,
    "vc_buf_size": 8,
    "wait_for_tail_credit": 0,
    "routing_delay": 1,
    "vc_alloc_delay": 1,
    "sw_alloc_delay": 1,
    "st_prepare_delay": 0,
    "st_final_delay": 1,
    "credit_delay": 1,
    "input_speedup": 1,
    "output_speedup": 1,
    "speculative": 0,
    "hold_switch_for_packet": 0,
    "packet_size": 1,
    "injection_rate_uses_flits": 0,
    "sample_period": 1000,
    "warmup_periods": 3,
    "max_samples": 10,
    "k": 8,
    "n": 2,
    "batch_size": 1000,
    "batch_count": 1,
    "max_outstanding_requests": 0,
    "vc_busy_when_full": 0,
    "vc_prioritize_empty": 0,
    "noq": 0,
    "output_buffer_size": -1,
    "link_failures": 0,
    "use_read_write": 0,
    "classes": 1,
    "subnets": 1,
    "use_noc_latency": 1,
}
"""Whole numbers that are read, and their values where a file has none."""

SHARES = {
    "internal_speedup": 1.0,
    "latency_thres": 500.0,
    "stopping_thres": 0.05,
    "acc_stopping_thres": 0.05,
    "injection_rate": 0.1,
}
"""Other numbers, likewise."""

WORDS = {
    "topology": "torus",
    "routing_function": "none",
    "buffer_policy": "private",
    "vc_allocator": "islip",
    "sw_allocator": "islip",
    "spec_sw_allocator": "prio",
    "priority": "none",
    "traffic": "uniform",
    "injection_process": "bernoulli",
    "network_file": "",
    "sim_type": "latency",
    "router": "iq",
}
"""Words, likewise."""

ONLY: dict[str, tuple[object, ...]] = {
    "input_speedup": (1,),
    "output_speedup": (1,),
    "internal_speedup": (1.0,),
    "buffer_policy": ("private",),
    "spec_sw_allocator": ("prio",),
    "priority": ("none",),
    "injection_process": ("bernoulli",),
    "router": ("iq",),
    "batch_count": (1,),
    "max_outstanding_requests": (0,),
    "vc_busy_when_full": (0,),
    "vc_prioritize_empty": (0,),
    "noq": (0,),
    "output_buffer_size": (-1,),
    "link_failures": (0,),
    "use_read_write": (0,),
    "classes": (1,),
    "subnets": (1,),
    "use_noc_latency": (1,),
}
"""The values that our router has, of options that it does not have."""

ROUTINGS = {
    "mesh": ("dor", "dim_order"),
    "torus": ("dim_order",),
    "fly": ("none", "dest_tag"),
    "anynet": ("min",),
}
"""Topologies that we have, with their routing functions."""


class UnsupportedError(Exception):
    """A sound configuration of something that we do not have; the message says what."""


@dataclass(frozen=True)
class Config:
    """What a file says.

    Parameters
    ----------
    path : Path
    values : dict of str to object
        Every key that is read, with its value or BookSim's default.
    """

    path: Path
    values: dict[str, object]

    def count(self, key: str) -> int:
        """Return a whole number.

        Parameters
        ----------
        key : str
        """
        value = self.values[key]
        assert isinstance(value, int)
        return value

    def share(self, key: str) -> float:
        """Return a number.

        Parameters
        ----------
        key : str
        """
        value = self.values[key]
        assert isinstance(value, float)
        return value

    def changed(self, changes: dict[str, str]) -> Config:
        """Return a configuration with other values.

        Parameters
        ----------
        changes : dict of str to str
            Values by key, as in a file.

        Raises
        ------
        CaseError
            If one of them is wrong.
        """
        faults: list[Fault] = []
        values = self.values | _read_values(changes, str(self.path), faults)
        if faults:
            raise CaseError("a configuration cannot be read", faults)
        return replace(self, values=values)


def read_config(path: Path) -> Config:
    """Read a file; keys that have no influence here are skipped.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CaseError
        With every line and value that is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(str(path), str(error), "a configuration file", "check the path")
        raise CaseError("a configuration cannot be read", [fault]) from None
    faults: list[Fault] = []
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"//.*", "", line).strip()
        match = re.fullmatch(r"(\w+)\s*=\s*(.*?)\s*;", bare)
        if match:
            found[match.group(1)] = match.group(2)
        elif bare:
            faults.append(Fault(f"{path}:{number}", repr(bare[:60]), "key = value;", "correct the line"))
    values: dict[str, object] = {**COUNTS, **SHARES, **WORDS}
    values |= _read_values(found, str(path), faults)
    if faults:
        raise CaseError("a configuration cannot be read", faults)
    return Config(path, values)


def _read_values(found: dict[str, str], where: str, faults: list[Fault]) -> dict[str, object]:
    """Return the values of known keys; note what is wrong."""
    values: dict[str, object] = {}
    for key, text in found.items():
        if key in COUNTS and re.fullmatch(r"-?\d{1,9}", text):
            values[key] = int(text)
        elif key in SHARES and re.fullmatch(r"-?\d{1,9}(\.\d*)?(e-?\d+)?", text):
            values[key] = float(text)
        elif key in WORDS:
            values[key] = text
        elif key in COUNTS or key in SHARES:
            allowed = "a whole number" if key in COUNTS else "a number"
            faults.append(Fault(f"{where}: {key}", repr(text[:40]), allowed, "correct it"))
    return values


def settings_of(config: Config) -> RouterSettings:
    """Return the router of a configuration.

    Parameters
    ----------
    config : Config

    Raises
    ------
    UnsupportedError
        If we do not have it.
    SpecError
        If no router can be so.
    """
    for key, allowed in ONLY.items():
        if config.values[key] not in allowed:
            raise UnsupportedError(f"{key} = {config.values[key]}")
    for key in ("vc_allocator", "sw_allocator"):
        if allocator_of(str(config.values[key])) is None:
            raise UnsupportedError(f"{key} = {config.values[key]}")
    return RouterSettings(
        vcs=config.count("num_vcs"),
        buffer_flits=config.count("vc_buf_size"),
        routing_delay=config.count("routing_delay"),
        vc_alloc_delay=config.count("vc_alloc_delay"),
        sw_alloc_delay=config.count("sw_alloc_delay"),
        switch_delay=config.count("st_prepare_delay") + config.count("st_final_delay"),
        credit_delay=config.count("credit_delay"),
        vc_allocator=str(config.values["vc_allocator"]),
        sw_allocator=str(config.values["sw_allocator"]),
        speculative=bool(config.count("speculative")),
        wait_for_tail_credit=bool(config.count("wait_for_tail_credit")),
        hold_switch_for_packet=bool(config.count("hold_switch_for_packet")),
        batched_stages=True,
    )


def topology_of(config: Config) -> Topology:
    """Return the network of a configuration.

    Parameters
    ----------
    config : Config

    Raises
    ------
    UnsupportedError
        If we do not have it.
    SpecError
        If its network list is wrong.
    """
    name, routing = str(config.values["topology"]), str(config.values["routing_function"])
    k, n = config.count("k"), config.count("n")
    if name not in ROUTINGS or (name == "fly" and n != 1):
        raise UnsupportedError(f"topology {name}" + (f" of {n} stages" if name == "fly" else ""))
    if routing not in ROUTINGS[name]:
        raise UnsupportedError(f"routing_function {routing} on topology {name}")
    if name == "anynet":
        return read_anynet(_network_list(config))
    return {"mesh": mesh, "torus": torus}[name](k, n) if name != "fly" else crossbar(k)


def _network_list(config: Config) -> Path:
    """Return the network list of a configuration: beside it, or in a folder ``configs`` beside its own."""
    name, folder = str(config.values["network_file"]), config.path.parent
    places = (folder / name, folder.parent / "configs" / name, folder.parent / name)
    return next((place for place in places if place.is_file()), places[0])


def sampling_of(config: Config, *, throughput_only: bool) -> Sampling:
    """Return how long random traffic is measured.

    Parameters
    ----------
    config : Config
    throughput_only : bool
        As in mode ``throughput``.
    """
    return Sampling(
        period=config.count("sample_period"),
        warmup_periods=config.count("warmup_periods"),
        most_periods=config.count("max_samples"),
        latency_limit=config.share("latency_thres"),
        latency_change=config.share("stopping_thres"),
        accepted_change=config.share("acc_stopping_thres"),
        throughput_only=throughput_only,
    )


def tokens(text: str) -> list[str]:
    """Return the elements of a list as BookSim 2 splits it.

    Parameters
    ----------
    text : str

    Notes
    -----
    Only a list in one pair of braces is split as one would think.  ``{0,5,10,15}`` as the parameters of a pattern are
    four parameters of one element, and of ``{16},{1},{1}`` the elements are ``16`` and ``{1}`` (``misc_utils.cpp``).

    Examples
    --------
    >>> tokens("{16},{1},{1}")
    ['16', '{1}']
    """
    if not text.startswith("{"):
        return [text] if text else []
    found, start, nested = [], 1, 0
    for place in range(1, len(text)):
        if text[place] == "{":
            nested += 1
        elif text[place] == "}" and nested:
            nested -= 1
        elif text[place] in "{,}" and not nested:
            if place > start:
                found.append(text[start:place])
            start = place + 1
    return found


def pattern_of(config: Config, radix: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return the traffic of a configuration in our spelling, and the dimensions it is for.

    Parameters
    ----------
    config : Config
    radix : tuple of int
        Nodes along each dimension.

    Raises
    ------
    UnsupportedError
        If we do not have the pattern.

    Notes
    -----
    What BookSim 2 makes of the parameters, not what they seem to say: ``hotspot({0,5,10,15})`` sends all to node 0,
    with the others taken for weights, and ``neighbor({16},{1},{1})`` too: its second parameter is read as 0 dimensions.
    """
    match = re.fullmatch(r"(\w+)(?:\((.*)\))?", str(config.values["traffic"]))
    name, given = (match.group(1), tokens(match.group(2) or "")) if match else ("", [])
    if name in {"uniform", "bitcomp", "bitrev", "shuffle", "transpose"}:
        return name, radix
    if name == "hotspot":
        spots = [part for part in tokens(given[0]) if part.isdecimal()] if given else []
        return f"hotspot({{{','.join(spots)}}})" if spots else "uniform", radix
    if name in {"neighbor", "tornado"}:
        k, n = config.count("k"), config.count("n")
        if len(given) > 0:
            k = int(given[0]) if given[0].isdecimal() else 0
        if len(given) > 1:
            n = int(given[1]) if given[1].isdecimal() else 0
        return ("hotspot({0})", radix) if n == 0 else (name, (k,) * n)
    raise UnsupportedError(f"traffic {config.values['traffic']}")
