"""From a memory and a trace to a run and its summary: peaks, refresh shares, latencies, traffic."""

import numpy as np
import pytest

from nmpsim.dram.reference import ControllerSettings
from nmpsim.dram.trace.memory import open_memory
from nmpsim.dram.trace.requests import RequestTrace
from nmpsim.dram.trace.run import run_native, run_reference
from nmpsim.dram.trace.summary import summary_of, summary_text
from nmpsim.dram.trace.traffic import PINGPONG_ROWS, make_traffic
from nmpsim.errors import WorkloadError


def requests(fields, writes=(), at=None):
    """Requests for places, one address each."""
    where = np.array(fields, np.int64)
    count = len(where)
    is_write = np.isin(np.arange(count), list(writes)).astype(np.int64)
    times = np.zeros(count, np.int64) if at is None else np.array(at, np.int64)
    _, addr = np.unique(where, axis=0, return_inverse=True)
    return RequestTrace(np.arange(count), times, is_write, addr * 32, where, is_timed=at is not None, has_fields=True)


PEAKS = {
    # bytes of a column x ports / ticks of a column
    ("hbm2", "HBM2_2000Mbps"): 32 * 2 / 2,  # two pseudo channels, nBL = nCCDS = 2
    ("hbm3", "HBM3_6400Mbps"): 32 * 2 / 4,  # two pseudo channels, 2 CK of two ticks
    ("hbm4", "HBM4_8000Mbps"): 32 * 2 / 4,
    ("mono3d", None): 256 * 16 * 16,  # a port for each of 16 x 16 banks
    ("raptor", None): 32 * 256 * 3,  # a port for each of 256 x 3 banks
    ("hmc_vault", None): 32 * 16 / 4,  # one bus for each of 16 vaults, a burst of four cycles
}


@pytest.mark.parametrize("case", PEAKS)
def test_the_peak_is_that_of_columns_back_to_back(case):
    preset, timing = case
    assert float(open_memory(preset, timing=timing).peak_bytes_per_tick) == PEAKS[case]


def test_no_stream_beats_the_peak_less_what_refresh_takes():
    """HBM2 loses nRTP + nRP + nRFC + nRCD of every nREFI to refresh; the CLI is tested for ticks of a long stream."""
    memory = open_memory("hbm2", "HBM2_8Gb", "HBM2_2000Mbps")
    trace = make_traffic(memory, "stream", 50_000)
    rates = summary_of(memory, trace, run_reference(memory, ControllerSettings(), trace, log=False))["bandwidth"]
    limit = rates["peak_GBps"] * (1 - (5 + 14 + 350 + 14) / 3900)
    assert 0 < rates["achieved_GBps"] < limit


def test_refresh_takes_its_banks_for_as_long_as_they_cannot_be_activated():
    memory = open_memory("hbm2", "HBM2_8Gb", "HBM2_2000Mbps")
    timing = memory.protocol.timing
    assert memory.refresh_ticks("REFab") == 16 * (
        timing["nRFC"] + 1 - 2
    )  # from first tick to first tick, ACT takes two
    assert memory.refresh_ticks("REFpb") == timing["nRFCpb"] + 1 - 2
    trace = requests([[0, 0, 0, 0, 0, 0]] * 2, at=[0, 8000])
    run = run_reference(memory, ControllerSettings(), trace)
    summary = summary_of(memory, trace, run)
    assert summary["commands"]["REFab"] == 4
    assert summary["refresh_share"] == 4 * 16 * 349 / (32 * run.ticks)


def test_latencies_are_those_of_the_requests():
    memory = open_memory("hbm2", "HBM2_8Gb", "HBM2_2000Mbps")
    trace = requests([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0]], writes=[2], at=[0, 500, 1000])
    run = run_reference(memory, ControllerSettings(), trace)
    latency = summary_of(memory, trace, run)["latency_ticks"]
    closed = 1 + (14 + 2 - 1) + 16  # ACT one tick after acceptance, RD nRCD after its last tick, nCL + nBL
    assert latency["read_from_offer"] == {
        "mean": (closed + 17) / 2,
        "p50": 17,
        "p90": closed,
        "p99": closed,
        "p100": closed,
    }
    assert latency["read_from_offer"] == latency["read_from_acceptance"]
    assert latency["write_from_offer"]["p100"] == run.done[2] - 1000
    assert "latency     read from offer: mean 24" in summary_text(summary_of(memory, trace, run))


def test_native_commands_and_completions_are_those_of_the_places():
    memory = open_memory("vault")
    fields = [[0, 3, 2, 0, 9, 0], [0, 3, 2, 0, 9, 1], [0, 5, 1, 0, 4, 7]]
    apart = run_native(memory, requests(fields))
    joined = run_native(memory, requests(fields), run_columns=2)
    for run, acts in ((apart, 2 if memory.machine.dram.row_hits != 1 else 3), (joined, 2)):
        assert run.issued["ACT"] == acts
        assert run.issued["RD"] == 3
        found = {
            (*address, row, column)
            for name, address, row, column in zip(
                run.names.tolist(), run.address.tolist(), run.row.tolist(), run.column.tolist(), strict=True
            )
            if name == "RD"
        }
        assert found == set(map(tuple, fields))
    assert joined.done[0] == joined.done[1]
    assert apart.done[0] < apart.done[1]


def test_columns_join_only_if_adjacent_of_one_row_direction_and_time():
    memory = open_memory("raptor")
    line = [[0, 0, 1, 0, 3, column] for column in (0, 1, 2, 4, 5, 6)]
    cases = [
        (requests(line), 2),
        (requests(line, writes=[1]), 4),
        (requests(line, at=[0, 0, 0, 0, 0, 9]), 3),
        (requests([*line[:3], [0, 0, 1, 0, 4, 3], [0, 0, 2, 0, 4, 4], [0, 0, 2, 0, 4, 5]]), 3),
    ]
    for trace, acts in cases:
        assert run_native(memory, trace, run_columns=124).issued["ACT"] == acts
    assert run_native(memory, requests(line), run_columns=2).issued["ACT"] == 4


def test_pingpong_alternates_two_rows_of_one_bank():
    fields = make_traffic(open_memory("hbm2"), "pingpong", 6).fields
    assert fields[:, -2].tolist() == [*PINGPONG_ROWS] * 3
    assert fields[:, -1].tolist() == [0, 0, 1, 1, 2, 2]
    assert not fields[:, :-2].any()


def test_random_traffic_is_that_of_its_seed():
    memory = open_memory("raptor")
    one, same, other = (make_traffic(memory, "random", 100, seed).fields for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_mixed_traffic_writes_every_third_request_or_row():
    assert make_traffic(open_memory("hbm2"), "mix", 9).is_write.tolist() == [0, 0, 1] * 3
    assert make_traffic(open_memory("raptor"), "mix", 124 * 3).is_write.tolist() == [0] * 248 + [1] * 124


def test_unknown_traffic_is_refused():
    with pytest.raises(WorkloadError, match="got 'flood'; allowed: stream or random or mix or pingpong"):
        make_traffic(open_memory("hbm2"), "flood", 9)
