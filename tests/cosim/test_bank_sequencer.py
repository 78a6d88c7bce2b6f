"""The bank sequencer three ways, cycle by cycle: kernel = PyRTL = exported Verilog, with stalls on every handshake."""

import pytest

from nmpsim.dram.native import REASONS
from nmpsim.spec.params import COMMANDS
from rtl_models.dram import bank_sequencer
from tests.cosim.bank_coverage import measure, record_cases, replay_all
from tests.cosim.bank_kernel import KernelBank, draw_case
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.verilog import run_verilog
from tests.unit.dram.chips import SEPARATIONS

BANKS, CYCLES = 24, 800


@pytest.fixture(scope="module")
def recordings():
    return record_cases(BANKS, CYCLES)


@pytest.fixture(scope="module")
def replays(recordings):
    return [recording.replay(f"bank_{n}") for n, recording in enumerate(recordings)]


def test_the_cases_cover_every_asked_parameter(recordings):
    drawn = [recording.case.params for recording in recordings]
    assert {p.row_hits for p in drawn} >= {0, 1, 3}
    assert {p.refresh for p in drawn} == {0, 1}
    refreshing = [p for p in drawn if p.refresh]
    assert {p.postpone for p in refreshing} == {0, 1, 2, 3}
    assert {p.pull_in for p in refreshing} == {0, 1, 2, 3}
    assert {p.tiers for p in drawn} == {1, 2, 3}
    act, rd = COMMANDS.index("ACT"), COMMANDS.index("RD")
    assert any(len(set(recording.case.latency[:, act, rd].tolist())) > 1 for recording in recordings)
    assert any(recording.case.bank for recording in recordings)


def test_pyrtl_does_what_the_kernel_does_in_every_state_and_by_every_rule(recordings, replays):
    coverage = replay_all(recordings, replays)
    print(coverage.report())
    assert not coverage.unexpected()
    assert not coverage.missing()


def test_verilog_does_what_the_kernel_does(replays, tmp_path):
    assert run_verilog(replays, tmp_path)["cycles"] == CYCLES


def test_reasons_have_the_codes_of_the_kernel():
    assert bank_sequencer.REASONS == REASONS


def differs(recordings, **changed) -> bool:
    """Whether some recording betrays RTL that was made with changed parameters."""
    for recording in recordings:
        params = recording.case.params
        wrong = {name: change(getattr(params, name)) for name, change in changed.items()}
        block = bank_sequencer.bank_sequencer(
            params._replace(**wrong), recording.case.latency, bank=recording.case.bank
        )
        if PyrtlRun(Replay("bank", block, recording.inputs, recording.outputs)).first_difference():
            return True
    return False


@pytest.mark.parametrize("name", ["fifo_columns", "nREFI", "postpone", "pull_in", "row_hits"])
def test_a_wrong_parameter_is_found(recordings, name):
    assert not differs(recordings[:4])
    assert differs(recordings, **{name: lambda value: value + 1})


@pytest.mark.parametrize("pair", sorted({(p, n) for pairs in SEPARATIONS.values() for p, n in pairs}))
def test_a_wrong_separation_is_found(recordings, pair):
    previous, following = pair
    found = False
    for recording in recordings:
        latency = recording.case.latency.copy()
        latency[:, previous, following] += 1
        block = bank_sequencer.bank_sequencer(recording.case.params, latency, bank=recording.case.bank)
        found = found or PyrtlRun(Replay("bank", block, recording.inputs, recording.outputs)).first_difference() != ""
    assert found, f"{COMMANDS[previous]} to {COMMANDS[following]}"


def test_a_wrong_bank_number_is_found(recordings):
    recording = next(r for r in recordings if r.case.params.refresh and r.case.bank)
    block = bank_sequencer.bank_sequencer(recording.case.params, recording.case.latency, bank=recording.case.bank - 1)
    assert PyrtlRun(Replay("bank", block, recording.inputs, recording.outputs)).first_difference()


def test_a_difference_in_verilog_is_reported_with_cycle_block_and_wire(recordings, replays, tmp_path):
    for recording in recordings:
        case = recording.case
        params = case.params._replace(fifo_columns=case.params.fifo_columns + 1)
        block = bank_sequencer.bank_sequencer(params, case.latency, bank=case.bank)
        replay = Replay("wrong_bank", block, recording.inputs, recording.outputs)
        if in_pyrtl := PyrtlRun(replay).first_difference():
            break
    assert in_pyrtl
    cycle = in_pyrtl.split(":")[0]
    with pytest.raises(AssertionError, match=rf"{cycle}: wrong_bank \w+: RTL \d+, kernel \d+"):
        run_verilog([replays[0], replay], tmp_path)


def test_without_a_verilog_simulator_the_comparison_fails_and_says_so(replays, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match=r"got no iverilog and no vvp; allowed: Icarus Verilog on PATH"):
        run_verilog(replays[:1], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1240, 40))
def test_many_banks_for_a_long_time(first, tmp_path):
    long_recordings = [KernelBank(draw_case(seed)).record(3000) for seed in range(first, first + 40)]
    long_replays = [recording.replay(f"bank_{n}") for n, recording in enumerate(long_recordings)]
    assert not replay_all(long_recordings, long_replays).unexpected()
    assert run_verilog(long_replays, tmp_path)["cycles"] == 3000


def test_the_report_names_coverage_speed_and_size():
    text = measure(2, 100)
    for word in ("closed ACT activate", "refresh ahead", "Verilog with its bench", "flops", "gates"):
        assert word in text
