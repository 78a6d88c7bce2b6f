"""Every other format says what the trace says; read by the tools that own the formats."""

import json
from functools import cache
from itertools import pairwise

import numpy as np
import pylibfst
import pytest
import pywellen
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as PerfettoTrace
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

from nmpsim.api import prepare, run_job, simulate
from nmpsim.dram.check.native import check_native
from nmpsim.errors import NmpsimError
from nmpsim.program.isa import F_SUM, SEND
from nmpsim.program.sums import sums_of
from nmpsim.trace import Trace, trace_options
from nmpsim.trace.expand import commands, expand
from nmpsim.trace.export import write_arrays, write_command_trace
from nmpsim.trace.lines import cycle_lines
from nmpsim.trace.perfetto import BLANK, lanes_of, write_perfetto
from nmpsim.trace.waves import scope_of, write_waves
from tests.builders import small_chip, small_job, small_model
from tests.unit.cli.bench import call


@cache
def trace() -> Trace:
    made = run_job(small_job(), trace=trace_options("full")).trace
    assert isinstance(made, Trace)
    return made


def ps(tick):
    top, bottom = trace().meta["tick_ps"]
    return tick * top // bottom


def test_perfetto_reads_tracks_slices_counters_and_arrows(tmp_path):
    path = tmp_path / "t.perfetto-trace"
    count = write_perfetto(trace(), path)
    read = PerfettoTrace()
    read.ParseFromString(path.read_bytes())
    assert len(read.packet) == count
    names = {n.iid: n.name for p in read.packet for n in p.interned_data.event_names}
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in read.packet if p.HasField("track_descriptor")}
    groups = {d.process.process_name for d in tracks.values() if d.HasField("process")}
    assert groups == {"pu 0", "pu 1"}
    events = [(p.timestamp, p.track_event) for p in read.packet if p.HasField("track_event")]

    unit = next(u for u in trace().recorded if u.kind == "array" and u.pu == 1)
    track = next(d for d in tracks.values() if d.name == "array" and d.parent_uuid == 2)
    own = [(at, e) for at, e in events if e.track_uuid == track.uuid]
    begins = [(at, names[e.name_iid]) for at, e in own if e.type == TrackEvent.TYPE_SLICE_BEGIN]
    ends = [at for at, e in own if e.type == TrackEvent.TYPE_SLICE_END]
    covered = sum(end - at for (at, _), end in zip(begins, ends, strict=True))
    rows = trace().intervals([unit])
    shown = rows[[trace().reasons[r] not in BLANK for r in rows["reason"]]]
    assert covered == sum(ps(int(end)) - ps(int(start)) for start, end in shown[["start", "end"]].tolist())
    assert {name for _, name in begins} <= set(trace().operators) | set(trace().reasons)
    assert any(name in trace().operators for _, name in begins)

    counter = next(d for d in tracks.values() if d.name == "array: MAC" and d.parent_uuid == 2)
    values = [(at, e.counter_value) for at, e in events if e.track_uuid == counter.uuid]
    told = [(ps(int(s)), int(v)) for s, v in rows[["start", "value"]].tolist()]
    assert values == [now for now, former in zip(told, [(0, -1), *told], strict=False) if now[1] != former[1]]

    starts = [flow for _, e in events for flow in e.flow_ids]
    stops = [flow for _, e in events for flow in e.terminating_flow_ids]
    assert sorted(starts) == sorted(stops) == list(range(1, len(trace().columns("flows")["source"]) + 1))
    assert len(starts) > 10


def test_arrows_go_from_the_load_to_its_use():
    made, flows = trace().columns("instructions"), trace().columns("flows")
    ops = trace().meta["ops"]
    for source, target in zip(flows["source"].tolist(), flows["target"].tolist(), strict=True):
        load, use = (ops[str(int(made["op"][row]))] for row in (source, target))
        if load == "send":
            continue
        assert load in {"stream", "load"}
        assert load == "load" or use == "pass"
        assert made["pu"][source] == made["pu"][target]
        later = made["start"] if load == "load" else made["end"]
        assert made["start"][source] <= later[target]
    passes = sum(ops[str(op)] == "pass" for op in made["op"].tolist())
    streamed = sum(ops[str(int(op))] == "stream" for op in made["op"][flows["source"]].tolist())
    assert streamed == passes > 0


def test_arrows_go_from_a_message_to_who_waits_for_it():
    """Every SEND serves one instruction of its destination, which is taken when the message has come, not before."""
    made, flows = trace().columns("instructions"), trace().columns("flows")
    program = small_job().program
    sends = np.flatnonzero(made["op"] == SEND)
    assert sorted(row for row in flows["source"].tolist() if made["op"][row] == SEND) == sends.tolist()
    seen = set()
    for source, target in zip(flows["source"].tolist(), flows["target"].tolist(), strict=True):
        if made["op"][source] == SEND:
            message = program.streams[made["pu"][source]][made["index"][source]]
            waiter = program.streams[made["pu"][target]][made["index"][target]]
            assert made["pu"][target] == message["bank"]
            assert int(message["signal"]) in {int(waiter[f"wait{n}"]) for n in range(4)}
            assert made["end"][source] < made["start"][target]
            seen.add((made["pu"][source], made["pu"][target]))
    assert seen == {(0, 1), (1, 0)}


def test_a_multicast_serves_one_instruction_of_every_other_pu():
    chip = small_chip("snake", 4, noc__collectives="multicast")
    seen = simulate(small_model(), chip, batch=2, context=16, layers=1, trace="full").trace
    made, flows = seen.columns("instructions"), seen.columns("flows")
    arrows = np.bincount(flows["source"], minlength=len(made["op"]))[made["op"] == SEND]
    assert set(arrows.tolist()) == {1, 3}  # a message, and a multicast to four PUs


def test_every_contribution_serves_who_waits_for_the_sum():
    chip = small_chip("snake", 3, noc__collectives="network")
    seen = simulate(small_model(), chip, batch=2, context=16, layers=1, trace="full").trace
    made, flows = seen.columns("instructions"), seen.columns("flows")
    program = prepare(small_model(), chip, batch=2, context=16, layers=1).program
    arrows = {}
    for source, target in zip(flows["source"].tolist(), flows["target"].tolist(), strict=True):
        ins = program.streams[made["pu"][source]][made["index"][source]]
        if ins["op"] == SEND and ins["modifiers"] & F_SUM:
            assert made["pu"][target] == ins["bank"]
            assert made["end"][source] < made["start"][target]
            arrows.setdefault((int(ins["imm"]), int(target)), []).append(int(made["pu"][source]))
    every = sums_of(program.streams, 3)
    assert sum(len(pus) for pus in arrows.values()) > 0
    assert all(sorted(pus) == [0, 1, 2] for pus in arrows.values())
    assert len(arrows) <= len(every)


def test_no_two_slices_of_a_lane_overlap():
    start, end = np.array([0, 1, 2, 5, 5]), np.array([4, 2, 6, 5, 9])
    assert lanes_of(start, end).tolist() == [0, 1, 1, 0, 2]


def test_two_readers_of_waveforms_see_every_reason_at_every_time(tmp_path):
    path = tmp_path / "t.fst"
    write_waves(trace(), path, ("array", "vector", "bank@0"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.fst", "t.gtkw"]
    file = pylibfst.lib.fstReaderOpen(str(path).encode())
    assert file != pylibfst.ffi.NULL
    _, signals = pylibfst.get_scopes_signals2(file)
    pylibfst.lib.fstReaderClose(file)
    waves = pywellen.Waveform(str(path))
    view = (tmp_path / "t.gtkw").read_text()
    for unit in trace().choose(("array", "vector", "bank@0")):
        name = f"die.pu{unit.pu}.{scope_of(unit)}.reason"
        assert name in signals.by_name
        assert (name in view) == (unit.kind in {"array", "vector"})
        rows = trace().intervals([unit])
        told = [(ps(int(s)), trace().reasons[r]) for s, r in rows[["start", "reason"]].tolist()]
        signal = waves[name].signal
        for at, reason in told:
            assert signal.value_at(at) == reason
        for (_, reason), (at, _) in pairwise(told):
            assert signal.value_at(at - 1) == reason
    if unit.measure:
        assert f"die.pu{unit.pu}.{scope_of(unit)}.value" in "".join(signals.by_name)


def test_arrays_hold_every_cycle(tmp_path):
    path = tmp_path / "t.npz"
    write_arrays(trace(), path, ("array", "bank@1", "buffer"), 20, 60)
    store = np.load(path)
    meta = json.loads(str(store["meta"]))
    assert {unit["kind"] for unit in meta["units"]} == {"array", "bank", "buffer"}
    assert len(store["tick_core"]) == 40
    for unit in trace().choose(("array", "bank@1", "buffer")):
        seen = expand(trace(), unit, 20, 60)
        assert (store[f"reason_{unit.number}"] == seen["reason"]).all()
        if unit.measure:
            assert (store[f"value_{unit.number}"] == seen["value"]).all()


def test_a_line_per_cycle_has_a_letter_per_unit():
    kinds = ("array", "vector", "bank@0")
    lines = list(cycle_lines(trace(), kinds, 100, 140))
    head, body = [line for line in lines if line.startswith("#")], [line for line in lines if not line.startswith("#")]
    assert head[-1] == "# columns: pu0 array | pu0 vector | pu0 bank 0..3 | pu1 array | pu1 vector"
    assert len(body) == 40
    letters, units = trace().meta["letters"], trace().choose(kinds)
    seen = [expand(trace(), unit, 100, 140) for unit in units]
    for n, line in enumerate(body):
        number, _, rest = line.partition("|")
        assert int(number) == 100 + n
        shown = rest.replace("|", "")
        assert len(shown) == len(units)
        for letter, unit, own in zip(shown, units, seen, strict=True):
            if unit.family == "core":
                assert letter == letters[own["reason"][n]]


def test_the_commands_pass_the_checker_and_a_wrong_one_does_not(tmp_path):
    job = small_job()
    log = commands(trace())
    assert check_native(log, job.params.dram, job.params.latency, trace().dram_period, channels=job.params.cores) == []
    log["tick"][np.flatnonzero(log["command"] == 2)[0]] -= trace().dram_period
    assert check_native(log, job.params.dram, job.params.latency, trace().dram_period, channels=job.params.cores)
    assert write_command_trace(trace(), tmp_path / "c.csv") == len(log)
    first = (tmp_path / "c.csv").read_text().splitlines()[:2]
    assert first[0].startswith("clock,command,") and first[0].endswith(",Row,Column,count,port")  # noqa: PT018


@pytest.mark.parametrize("to", ["perfetto", "fst", "npy", "text", "commands"])
def test_the_command_line_writes_every_format(tmp_path, to):
    from tests.unit.report.small import write_inputs

    model, chip = write_inputs(tmp_path)
    words = (
        "--model",
        str(model),
        "--chip",
        str(chip),
        "--batch",
        "1",
        "--context",
        "8",
        "--out",
        str(tmp_path / "out"),
    )
    assert call("simulate", *words, "--trace", "full").exit_code == 0
    file = tmp_path / "made"
    done = call(
        "trace", "export", str(tmp_path / "out"), "--to", to, "--out", str(file), "--from", "0", "--until", "400"
    )
    assert done.exit_code == 0, done.stderr
    assert file.stat().st_size > 0
    if to == "commands":
        checked = call("dram", "check", str(file), "--chip", str(chip))
        assert checked.exit_code == 0, checked.stdout + checked.stderr
        assert "no rule broken" in checked.stdout
    if to == "text":
        lines = call("trace", "lines", str(tmp_path / "out"), "--units", "array", "--from", "10", "--until", "12")
        assert [line.split("|")[0].strip() for line in lines.stdout.splitlines() if line[0] != "#"] == ["10", "11"]


def test_a_folder_without_a_trace_is_refused_with_advice(tmp_path):
    with pytest.raises(NmpsimError, match="simulate with --trace coarse or --trace full"):
        Trace.open(tmp_path)
    done = call("trace", "export", str(tmp_path), "--to", "gif", "--units", "arrow")
    assert done.exit_code == 2
    assert "--to: got 'gif'" in done.stderr
    assert "--trace-units: got 'arrow'" in done.stderr
