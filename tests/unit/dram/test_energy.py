"""Energy is counts times the energy of one command, and whole rows of Stratum cost the published figure per bit."""

import pytest

from nmpsim.dram.energy import command_energy
from nmpsim.dram.native.stream import stream_requests
from nmpsim.dram.native.traffic import run_requests
from nmpsim.spec.standard import load_standard, machine_protocol, preset_machine


def test_rows_that_are_read_once_and_whole_cost_what_stratum_publishes_per_bit():
    machine = preset_machine("mono3d", {"dram.refresh.mode": "off"})
    run = run_requests(machine.dram, machine.latency, [stream_requests(machine.dram, 0, 5)], per_cycle=16)
    counts = {name: int(run.state.counter[name].sum()) for name in ("ACT", "RD", "WR")}
    assert counts == {"ACT": 80, "RD": 80 * 16, "WR": 0}
    energy = command_energy(machine_protocol(machine), counts)
    bits = 80 * 4096 * 8
    assert sum(energy.values()) / bits == pytest.approx(0.429, rel=0.001)  # the two shares are given to four digits


def test_a_refresh_of_all_banks_costs_that_of_one_times_their_number():
    protocol = load_standard("hbm2")
    energy = command_energy(protocol, {"REFab": 3, "REFpb": 3})
    assert energy["REFab"] == 16 * energy["REFpb"] > 0


def test_a_command_that_the_table_has_no_energy_for_is_an_error():
    with pytest.raises(KeyError, match="RFMsb"):
        command_energy(load_standard("hbm2"), {"RFMsb": 1})


@pytest.mark.parametrize("name", ["hbm2", "hbm3", "hbm4"])
def test_every_command_of_a_standard_has_an_energy_and_all_but_precharges_take_some(name):
    protocol = load_standard(name)
    assert set(protocol.command_pJ) == {command.name for command in protocol.commands}
    free = {name for name, pJ in protocol.command_pJ.items() if pJ == 0}
    assert free == {"PREpb", "PREab"}
