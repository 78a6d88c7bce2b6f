import pytest

from nmpsim import api
from nmpsim.cost.area import die_area
from nmpsim.cost.array_glue import array_glue
from nmpsim.cost.coefficients import value
from nmpsim.cost.energy import step_energy
from nmpsim.cost.sram import sram_pJ_per_byte
from nmpsim.cost.tables import tables
from nmpsim.cost.units import unit_energies
from nmpsim.cost.work import count_work
from nmpsim.program.isa import LOAD, MOVE, PASS, V_COPY, V_SUM_SQUARES
from nmpsim.report.result import result_of
from nmpsim.spec import load_chip, parse_chip, resolve
from nmpsim.workload import parse_config
from tests.unit.cost.made_up import block, table
from tests.unit.cost.test_work import instruction, program, vector
from tests.unit.report.small import LLAMA, chip_text, config_text, run_of

SNAKE = resolve(load_chip("snake"))


def hand_made():
    """A chip with made-up energies executes one instruction of each kind."""
    steps = program(
        instruction(op=PASS, flow=0, group=16, split=0, m=2, n=128, k=100),
        vector(V_SUM_SQUARES, 1, 50),
        vector(V_COPY, 1, 10),
        instruction(unit=MOVE, op=LOAD, beats=1),
    )
    counts = {"ACT": 2, "PRE": 2, "RD": 10, "WR": 4, "REFpb": 1, "flit_hops": 6, "flits": 3, "instructions": 5}
    stalls = {
        "array": {"busy": 100, "queue_empty": 900, "pipeline_drain": 20},
        "bank": {"transfer": 14, "no_request": 86},
    }
    return step_energy(SNAKE, steps, counts, stalls, 1e-6, table())


def test_a_small_step_worked_out_by_hand():
    found = {name: joules * 1e12 for name, joules in hand_made().items()}
    byte = sram_pJ_per_byte(1 << 20, two_ports=True)
    assert found["dram_ACT"] == pytest.approx(2 * 3604.5)
    assert found["dram_RD"] == pytest.approx(10 * 653.3)
    assert found["dram_WR"] == pytest.approx(4 * 653.3)
    assert found["dram_REFpb"] == pytest.approx(14418.0)
    assert found["mac"] == pytest.approx(2 * 128 * 100 * 2.0)
    assert found["mac_clock"] == pytest.approx((120 * 128 * 128 - 2 * 128 * 100) * 0.25)
    glue = array_glue(SNAKE.core)
    busy, drain = glue.edges * 0.25 + glue.loads * 0.125, (glue.edges + glue.loads) * 0.125
    assert found["edge_skew"] == pytest.approx((100 * busy + 20 * drain) / 64)
    assert found["strip_links"] == pytest.approx(100 * glue.links * 0.5 / 64)
    assert found["compute_control"] == pytest.approx(120 * 6.0 + 900 * 4.0)
    assert "operand_registers" not in found
    assert found["vector_sum_squares"] == pytest.approx(50 * (3.0 + 2.0))
    assert "vector_copy" not in found
    assert found["buffer_read"] == pytest.approx((2 * 100 * 2 + 50 * 2 + 10 * 2) * byte)
    assert found["buffer_write"] == pytest.approx((2 * 128 * 4 + 10 * 2 + 256) * byte)
    assert found["fifo"] == pytest.approx(2 * 14 * 256 * 8 * 0.05)
    assert found["noc_link"] == pytest.approx(6 * 1024 * 2.75 * 0.1)
    assert found["noc_router"] == pytest.approx(9 * (2 * 128 * 8 * 0.05 + 1024 * 1.0 * 0.1))
    assert found["port_arbiter"] == pytest.approx(16 * 800 * 8.0)  # 1 us at 0.8 GHz
    assert found["bank_sequencer"] == pytest.approx(14 * 0.5 + 86 * 0.25)
    assert found["sequencer"] == pytest.approx(5 * (20.0 + 7.0 - 2.0) + 16 * 800 * 2.0)
    assert found["static"] == pytest.approx(0.061 * die_area(SNAKE, table()).mm2 * 1e-6 * 1e12)
    assert "psum" not in found


@pytest.mark.parametrize(("code", "name", "pJ"), [(1, "fp8", 0.5), (2, "int8", 0.75), (3, "int4", 0.25)])
def test_elements_of_narrow_weights_take_the_energy_of_the_decoder_and_its_static_power(code, name, pJ):
    plain, narrow = (
        program(instruction(op=PASS, flow=0, group=16, split=0, m=2, n=128, k=100, imm=b)) for b in (0, code)
    )
    counts = dict.fromkeys(("ACT", "RD", "WR", "REFpb", "flit_hops", "flits", "instructions"), 1)
    stalls = {"array": {"busy": 100}, "bank": {"transfer": 1}}
    one, two = (step_energy(SNAKE, steps, counts, stalls, 1e-6, table()) for steps in (plain, narrow))
    assert "decoder" not in one
    assert two.pop("decoder") == pytest.approx(128 * 100 * pJ * 1e-12)
    assert two.pop("static") - one.pop("static") == pytest.approx(0.061 * die_area(SNAKE, table()).decoder_mm2 * 1e-6)
    assert two == one
    assert count_work(narrow, SNAKE).decoded == {name: 12800}


def test_twice_the_energy_of_a_mac_is_twice_the_energy_of_all_macs_and_of_nothing_else():
    dearer = table(pe_fp16_0=block("pe_fp16_0", {"OS": 4.0, "WS": 6.0, "idle": 0.25}, "pe_fp16"))
    steps = program(instruction(op=PASS, flow=0, group=16, split=0, m=2, n=128, k=100))
    counts = dict.fromkeys(("ACT", "PRE", "RD", "WR", "REFpb", "flit_hops", "flits", "instructions"), 1)
    stalls = {"array": {"busy": 100}, "bank": {"transfer": 1}}
    one, two = (step_energy(SNAKE, steps, counts, stalls, 1e-6, t) for t in (table(), dearer))
    assert two.pop("mac") == 2 * one.pop("mac")
    assert two == one


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_counts_times_table_are_the_energy_that_a_run_reports(chip):
    run = run_of(chip)
    params = resolve(parse_chip(chip_text(base=chip), f"{chip}.toml"))
    model = parse_config(config_text(LLAMA).encode(), "tiny", "config.json", "a test")
    job = api.prepare(model, parse_chip(chip_text(base=chip), f"{chip}.toml"), batch=2, context=16)
    units, work = unit_energies(params, tables()), count_work(job.program, params)
    assert work.macs.total() == run.counts["macs"]
    found = run.energy_J
    for name, pJ in zip(("ACT", "RD", "WR", "REFpb"), [params.command_pJ[i] for i in (0, 2, 3, 4)], strict=True):
        assert found.get(f"dram_{name}", 0.0) == pytest.approx(run.counts[name] * pJ * 1e-12)
    assert found["mac"] == pytest.approx(sum(units.mac[flow] * n for flow, n in work.macs.items()) * 1e-12)
    moved = (run.counts["RD"] + run.counts["WR"]) * run.counts["column_bytes"]
    assert found["fifo"] == pytest.approx(2 * moved * units.byte["fifo"] * 1e-12)
    assert found["noc_link"] == pytest.approx(run.counts["flit_hops"] * units.link_flit * 1e-12)
    active, clocked = units.sequencer
    one = units.instruction + active - clocked
    pJ = run.counts["instructions"] * one + 4 * run.cycles * clocked
    assert found["sequencer"] == pytest.approx(pJ * 1e-12)
    assert found["static"] == pytest.approx(value("static_W_per_mm2") * die_area(params, tables()).mm2 * run.seconds)
    assert ("psum" in found) == (chip == "stratum")


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_the_result_adds_its_components_up(chip):
    energy = result_of(run_of(chip))["energy_J"]
    assert energy["step"] == pytest.approx(sum(energy["components"].values()))
    assert energy["per_token"] == pytest.approx(energy["step"] / 2)


def test_bytes_of_moves_are_those_that_the_data_movers_counted():
    run = run_of("snake")
    params = resolve(parse_chip(chip_text(base="snake"), "snake.toml"))
    assert run.energy_J["dram_RD"] == pytest.approx(run.counts["dram_read_bytes"] / 256 * params.command_pJ[2] * 1e-12)


def test_a_die_that_does_nothing_takes_static_power_and_that_of_its_arbiters_and_sequencers():
    counts = dict.fromkeys(("ACT", "PRE", "RD", "WR", "REFpb", "flit_hops", "flits", "instructions"), 0)
    found = step_energy(SNAKE, program(vector(V_COPY, 0, 0)), counts, {"array": {}, "bank": {}}, 1e-3, table())
    assert set(found) == {"static", "port_arbiter", "sequencer"}
