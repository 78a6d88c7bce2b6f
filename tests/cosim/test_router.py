"""The router four ways, cycle by cycle: kernel = plain model = PyRTL = exported Verilog; its neighbours stall."""

import re

import pyrtl
import pytest

from rtl_models.noc import allocator, input_vc, output_vc, router
from rtl_models.noc.router import RouterParams
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.router_coverage import SHAPES, STATES, measured, record_routers, replay_all, replay_model, sizes
from tests.cosim.router_kernel import LoneRouter, mesh_routers, packets_in
from tests.cosim.verilog import run_verilog

ROUTERS, CYCLES = 12, 250


@pytest.fixture(scope="module")
def recordings():
    return record_routers(ROUTERS, CYCLES)


@pytest.fixture(scope="module")
def replays(recordings):
    return [recording.replay() for recording in recordings]


def test_every_shape_and_the_mesh_see_traffic(recordings):
    assert {recording.params for recording in recordings} >= set(SHAPES)
    assert len(recordings) == ROUTERS + 4
    for recording in recordings:
        assert len(recording.inputs) == CYCLES
        assert packets_in(recording) > 15


def test_the_model_does_what_the_kernel_does(recordings):
    for recording in recordings:
        assert not replay_model(recording)


def test_pyrtl_does_what_the_kernel_does_in_every_state_and_by_every_rule(recordings, replays):
    coverage = replay_all(recordings, replays)
    print(coverage.report())
    assert not coverage.unexpected()
    assert not coverage.missing()


def test_verilog_does_what_the_kernel_does(replays, tmp_path):
    assert run_verilog(replays[: len(SHAPES)] + replays[ROUTERS:], tmp_path)["cycles"] == CYCLES


# ------------------------------------------------------------------------------------------------------- wrong routers


def is_found(recordings) -> bool:
    """Whether some recording, of small routers first, betrays the router as it is built now."""
    return any(
        PyrtlRun(Replay("wrong", router.router(one.params), one.inputs, one.outputs)).first_difference()
        for one in sorted(recordings, key=lambda one: one.params.ports * one.params.vcs)
    )


@pytest.mark.parametrize("name", ["buffer_flits", "credit_delay"])
def test_a_wrong_parameter_is_found(recordings, name):
    for one in recordings[4:6]:
        wrong = one.params._replace(**{name: getattr(one.params, name) + 1})
        assert PyrtlRun(Replay("wrong", router.router(wrong), one.inputs, one.outputs)).first_difference()


def no_turn(asked, turn):
    """The lowest bit that is set, whose turn it may be or not."""
    return (asked & ~(asked - 1)[: len(asked)])[: len(asked)]


def turns_of_grants(requests, name):
    """iSLIP whose grant turns move though the grant was not accepted."""
    columns = allocator.transposed(requests)
    grant_turns = [allocator.turn_register(len(requests), f"{name}_grant_turn{n}") for n in range(len(columns))]
    accept_turns = [allocator.turn_register(len(columns), f"{name}_accept_turn{n}") for n in range(len(requests))]
    grants = [allocator.first_from(asked, turn) for asked, turn in zip(columns, grant_turns, strict=True)]
    granted = allocator.transposed(grants)
    matches = [allocator.first_from(offers, turn) for offers, turn in zip(granted, accept_turns, strict=True)]
    for turn, winner in zip([*accept_turns, *grant_turns], [*matches, *grants], strict=True):
        turn.next <<= allocator.next_turn(turn, winner)
    return matches


class NoBypass(input_vc.InputVC):
    """A flit that comes to an empty buffer is seen one cycle later."""

    def __init__(self, *ports) -> None:
        super().__init__(*ports)
        self.present = self.count != 0
        self.begins = self.present & ~self.wants & ~self.active


class NoCredits(input_vc.InputVC):
    """Sends without a credit."""

    def has_credit(self, credit):
        return pyrtl.or_all_bits(self.holds)


class LooksAtCredits(output_vc.OutputVCs):
    """A channel without a credit cannot be taken."""

    def __init__(self, *ports) -> None:
        super().__init__(*ports)
        self.register, self.free = self.free, self.free & self.credit

    def connect(self, taken, sent, freed) -> None:
        self.free = self.register
        super().connect(taken, sent, freed)


class FreedLate(output_vc.OutputVCs):
    """A channel can be taken one cycle later than it is freed."""

    def connect(self, taken, sent, freed) -> None:
        late = pyrtl.Register(len(freed))
        late.next <<= freed
        super().connect(taken, sent, late)


class TailsStay(input_vc.InputVC):
    """A tail that is sent neither ends its packet nor leaves the buffer."""

    def connect(self, wins, sends) -> None:
        super().connect(wins, sends & ~self.is_tail)


MUTANTS = {
    "a turn that does not move": (allocator, "next_turn", lambda turn, winner: turn),
    "an offset that does not move": (router, "next_turn", lambda turn, winner: turn),
    "an allocator that looks at no turn": (allocator, "first_from", no_turn),
    "an input that looks at no offset": (router, "first_from", no_turn),
    "a turn that moves without acceptance": (router, "islip", turns_of_grants),
    "no bypass of an empty buffer": (router, "InputVC", NoBypass),
    "no credits": (router, "InputVC", NoCredits),
    "tails that do not end their packet": (router, "InputVC", TailsStay),
    "channels of full buffers not taken": (router, "OutputVCs", LooksAtCredits),
    "channels freed late": (router, "OutputVCs", FreedLate),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_is_found(recordings, name, monkeypatch):
    module, attribute, wrong = MUTANTS[name]
    monkeypatch.setattr(module, attribute, wrong)
    assert is_found(recordings)


# --------------------------------------------------------------------------------------------------------------- others


@pytest.mark.parametrize(
    ("name", "got"),
    [("ports", 0), ("vcs", 0), ("buffer_flits", 0), ("destinations", 0), ("payload_bits", -1), ("credit_delay", -1)],
)
def test_a_router_that_cannot_be_built_is_refused(name, got):
    with pytest.raises(ValueError, match=rf"router: got {name} {got}; allowed: numbers from {got + 1} on; change it"):
        router.router(SHAPES[0]._replace(**{name: got}))


def test_flops_are_those_of_the_registers():
    params = RouterParams(ports=2, vcs=3, buffer_flits=2, destinations=5, payload_bits=4, credit_delay=2)
    channels, flit = 2 * 3, 1 + 3 + 4
    of_input = 2 * flit + 2 + 2 + 2 + 3 + channels  # buffer, count, phase, route, channel held
    allocators = 2 * channels * channels + 2 * 2 * 2 + 2 * 3  # turns of both, offsets
    of_outputs = channels * (2 + 1 + 2)  # credits, free, credits on their way
    crossing = 2 * (2 + 2 + flit)
    total = channels * of_input + allocators + of_outputs + crossing
    assert sum(len(one) for one in router.router(params).wirevector_subset(pyrtl.Register)) == total


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1096, 24))
def test_many_routers_for_a_long_time(first, tmp_path):
    long_recordings = record_routers(24, 1500, first)
    assert not any(replay_model(recording) for recording in long_recordings)
    long_replays = [recording.replay() for recording in long_recordings]
    assert not replay_all(long_recordings, long_replays).unexpected()
    assert run_verilog(long_replays, tmp_path)["cycles"] == 1500


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        RouterParams(ports=1, vcs=1, buffer_flits=1, destinations=1, payload_bits=0),
        RouterParams(ports=4, vcs=1, buffer_flits=3, destinations=5, payload_bits=6, credit_delay=3),
        RouterParams(ports=6, vcs=1, buffer_flits=2, destinations=7, payload_bits=5),
        RouterParams(ports=1, vcs=2, buffer_flits=2, destinations=1, payload_bits=3),
        RouterParams(ports=5, vcs=4, buffer_flits=8, destinations=16, payload_bits=64),
        RouterParams(ports=8, vcs=3, buffer_flits=5, destinations=20, payload_bits=9, credit_delay=0),
    ],
    ids=lambda params: "_".join(map(str, params)),
)
def test_other_shapes(params, tmp_path):
    long_recordings = [LoneRouter(params, seed).run(1500) for seed in range(4)]
    assert not any(replay_model(recording) for recording in long_recordings)
    long_replays = [recording.replay() for recording in long_recordings]
    assert not replay_all(long_recordings, long_replays).unexpected()
    assert run_verilog(long_replays, tmp_path)["cycles"] == 1500


@pytest.mark.slow
@pytest.mark.parametrize(("vcs", "buffer_flits"), [(1, 16), (2, 2), (4, 8), (8, 4)])
def test_meshes_of_other_settings(vcs, buffer_flits):
    long_recordings = mesh_routers(7, 1500, vcs, buffer_flits)
    assert not any(replay_model(recording) for recording in long_recordings)
    assert not replay_all(long_recordings, [recording.replay() for recording in long_recordings]).unexpected()


def test_the_report_names_coverage_and_speed(recordings):
    text = measured([one for one in recordings if one.params.ports == 2], in_kernel=0.1)
    for word in (*STATES, "input 4 to output 4 of 5", "Verilog with its bench", "4 routers, 1000 cycles"):
        assert word in text


@pytest.mark.slow
def test_the_report_names_the_size():
    assert re.search(r"ports=2, vcs=1, .*: \d+ flops, \d+ gates", sizes(SHAPES[4:]))
