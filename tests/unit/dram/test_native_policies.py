"""Each rule of docs/dram/native.md in a trace derived by hand; the kernel in every mode and the oracle must give it.

Cycles between two commands of a bank, where a test says nothing else::

    nRCD 3   nRAS 6   nRC 8   nRP 2   nCCD 1   nRTP 2   nRTW 4   nWTR 5   nWTP 6   nRFC 10

A row access of two columns on a closed page is thus ACT 0, RD 3 4, PRE 6 (nRAS; nRTP also ends at 6), next ACT 8.
Traces are written as ``"ACT 0  RD 3 4  PRE 6"``; ``RD 3@1`` says that the column used port 1 of the channel.
"""

from __future__ import annotations

import pytest

from nmpsim.spec.params import HOLD_COLUMN, HOLD_ROW, PRE, REF
from tests.unit.dram.scenario import Scenario

OPEN = {"row_hits": 0}
REFRESHED = {"refresh": 1}
BUS = {"banks": 2, "port_banks": 2, "ports": 1, "port_hold": HOLD_ROW}


# ------------------------------------------------------------------------------------------------------ open page


def test_a_closed_page_closes_after_every_access():
    """Same row twice: PRE at max(0 + nRAS, 4 + nRTP) = 6, ACT at max(6 + nRP, 0 + nRC) = 8, RD at 8 + nRCD."""
    Scenario().read(rows=2, row_stride=0).gives("ACT 0  RD 3 4  PRE 6  ACT 8  RD 11 12  PRE 14", 40)


def test_an_open_page_serves_a_hit_without_a_command_and_stays_open():
    """The second access begins at 5, one cycle after the last column, and its RD is legal there (nCCD 1)."""
    Scenario(**OPEN).read(rows=2, row_stride=0).gives("ACT 0  RD 3 4 5 6", 40)


def test_a_hit_waits_no_longer_than_the_turnaround_of_its_bank():
    """RD 4, then WR of the same row at 4 + nRTW = 8, 9, then RD at 9 + nWTR = 14."""
    (Scenario(**OPEN).read().write(data=(0, 0)).read().gives("ACT 0  RD 3 4  WR 8 9  RD 14 15", 40))


def test_the_cap_closes_a_row_that_has_more_hits():
    """Two accesses per ACT: after RD 6 the row closes at 6 + nRTP = 8, ACT 10; one more access, the row stays open."""
    Scenario(row_hits=2).read(rows=3, row_stride=0).gives("ACT 0  RD 3 4 5 6  PRE 8  ACT 10  RD 13 14", 40)


def test_a_run_to_another_row_closes_an_open_row():
    """The conflict is seen at 5; PRE at 6 as on a closed page.  The last row stays open: nobody asks for another."""
    Scenario(**OPEN).read(rows=2, row_stride=1).gives("ACT 0  RD 3 4  PRE 6  ACT 8  RD 11 12", 40)


@pytest.mark.parametrize(("row", "trace"), [(0, "ACT 0  RD 3 4 20 21"), (1, "ACT 0  RD 3 4  PRE 20  ACT 22  RD 25 26")])
def test_an_open_row_waits_for_the_next_run_and_then_serves_it_or_closes_at_once(row, trace):
    """The run is seen from 20 on: the hit's RD and the conflict's PRE are issued in that cycle."""
    Scenario(**OPEN).read().read(first_row=row, ready_at=20).gives(trace, 40)


def test_a_hit_waits_for_landing_space_and_a_conflict_closes_without_it():
    """Two places, taken at 30 and 31, free at 31 and 32: an access of two columns may begin at 32.

    The hit's RD is at 32; the conflict has been closed since 6, so its ACT is at 32 and its RD at 35.
    """
    eats = {"fifo_columns": 2, "eat_at": (30, 31)}
    Scenario(**OPEN, **eats).read(rows=2, row_stride=0).gives("ACT 0  RD 3 4 32 33", 60)
    Scenario(**OPEN, **eats).read(rows=2, row_stride=1).gives("ACT 0  RD 3 4  PRE 6  ACT 32  RD 35 36", 60)


# -------------------------------------------------------------------------------------------------------- refresh


def test_an_idle_bank_is_refreshed_when_due_and_banks_take_turns():
    """Bank b of two is due at 40 n + 20 b."""
    Scenario(**REFRESHED, banks=2).gives({0: "REF 40 80 120", 1: "REF 60 100"}, 125)


def test_an_open_row_without_work_closes_when_a_refresh_is_due():
    """Due at 40: PRE 40, REFpb nRP later.  Not before, although the row idles since 5."""
    Scenario(**REFRESHED, **OPEN).read().gives("ACT 0  RD 3 4  PRE 40  REF 42", 60)


def test_rows_that_wait_postpone_a_refresh_up_to_the_limit():
    """An ACT every nRC = 8 from 0 to 72; at 80 = 40 + postpone * 40 no row begins, REFpb 80 = 72 + nRC, ACT 90.

    The next limit is 120: ACT 90, 98, 106, 114; REFpb at 114 + nRC = 122, ACT 132.
    """
    acts = [*range(0, 73, 8), 90, 98, 106, 114]
    row = [(act, f"ACT {act} RD {act + 3} {act + 4} PRE {act + 6} ") for act in acts]
    trace = "".join(text for _, text in sorted([*row, (80, "REF 80 "), (122, "REF 122 ")]))
    Scenario(**REFRESHED, postpone=1).read(rows=8).read(rows=8).gives(trace + "ACT 132", 134)


@pytest.mark.parametrize("start", [0, 1])
def test_hits_end_at_the_refresh_limit(start):
    """Hits begin every two cycles, seen from 0 on at 5, 7, ..., 79, seen from 1 on at 6, 8, ..., 78: 80 is the limit.

    The last RD is at 80 or 79; PRE nRTP later, REFpb nRP after it, ACT nRFC after that.
    """
    last = 80 - start
    reads = " ".join(str(cycle) for cycle in range(start + 3, last + 1))
    trace = f"ACT {start}  RD {reads}  PRE {last + 2}  REF {last + 4}  ACT {last + 14}"
    Scenario(**REFRESHED, **OPEN, postpone=1).read(rows=60, row_stride=0, ready_at=start).gives(trace, last + 16)


@pytest.mark.parametrize(
    ("seen", "trace"), [(40, "ACT 40  RD 43 44  PRE 46  REF 48"), (41, "REF 40  ACT 50  RD 53 54")]
)
def test_a_row_that_is_seen_when_a_refresh_falls_due_goes_first(seen, trace):
    """Due at 40: a row seen in that cycle postpones the refresh to 40 + nRC = 48; one cycle later REFpb goes first."""
    Scenario(**REFRESHED).read(ready_at=seen).gives(trace, 56 if seen == 41 else 79)


@pytest.mark.parametrize(
    ("seen", "trace"),
    [(79, "ACT 79  RD 82 83  PRE 85  REF 145"), (80, "REF 90  ACT 100  RD 103 104  PRE 106")],
)
def test_no_row_begins_from_the_limit_on_even_while_the_refresh_itself_must_wait(seen, trace):
    """PRE to REFpb 60: after PRE 30 the refresh due at 40 is legal at 90 only; its limit is 80.

    Seen at 79 the row begins, and pushes the refresh to PRE 85 + 60; seen at 80 it waits for REFpb 90 + nRFC.
    """
    scenario = Scenario(**REFRESHED, postpone=1)
    scenario.latency[0, PRE, REF] = 60
    scenario.read(ready_at=24).read(ready_at=seen)
    scenario.gives("ACT 24  RD 27 28  PRE 30  " + trace, 150)


def test_a_refresh_waits_for_no_row_that_lacks_landing_space():
    """The second row is seen but has no place before 52: REFpb when due at 40, and the row as soon as there is room."""
    scenario = Scenario(**REFRESHED, fifo_columns=2, eat_at=(50, 51)).read(rows=2)
    scenario.gives("ACT 0  RD 3 4  PRE 6  REF 40  ACT 52  RD 55 56  PRE 58", 80)


def test_refreshes_are_done_ahead_while_no_run_is_seen():
    """pull_in 1: number n is due at 40 n and may be done from 40 (n - 1) on: 0, 40; at 80 a run is seen and goes first.

    ACT 80, PRE 86; no run is seen then, so REFpb number 3 at max(80 + nRC, 86 + nRP) = 88, and number 4 at 120.
    """
    Scenario(**REFRESHED, pull_in=1).read(ready_at=80).gives("REF 0 40  ACT 80  RD 83 84  PRE 86  REF 88 120", 125)


def test_nothing_is_done_ahead_of_a_row_that_waits_for_landing_space():
    """pull_in 1, a run seen from 0 on.  Its second row lacks space until 32, so no early refresh; after it, at 40."""
    scenario = Scenario(**REFRESHED, pull_in=1, fifo_columns=2, eat_at=(30, 31)).read(rows=2)
    scenario.gives("ACT 0  RD 3 4  PRE 6  ACT 32  RD 35 36  PRE 38  REF 40 50", 78)


def test_a_decision_to_close_is_never_taken_back():
    """WR 38 39: nothing to do at 40, when the refresh is due, so the row will close, at 39 + nWTP = 45.

    A hit seen at 42 does not stop that: PRE 45, ACT 47 (a row goes before a refresh that is only due), RD 50 51; then
    PRE 53 (nRAS, nRTP), REFpb 55.
    """
    (
        Scenario(**REFRESHED, **OPEN)
        .read(columns=1)
        .write(data=(0, 0), ready_at=38)
        .read(ready_at=42)
        .gives("ACT 0  RD 3  WR 38 39  PRE 45  ACT 47  RD 50 51  PRE 53  REF 55", 79)
    )


def test_a_row_that_waits_for_the_budget_is_not_passed_by_a_refresh():
    """nRRD 30: bank 0 activates at 50, bank 1 must wait to 80 although its refresh is due at 60; REFpb after it."""
    (
        Scenario(**REFRESHED, banks=2, nRRD=30)
        .read(0, ready_at=50)
        .read(1, ready_at=50)
        .gives({0: "REF 40  ACT 50  RD 53 54  PRE 56  REF 80", 1: "ACT 80  RD 83 84  PRE 86  REF 88"}, 95)
    )


# ---------------------------------------------------------------------------------------------------------- ports


def test_two_banks_hide_their_recharge_behind_one_port():
    """Six columns per row: from the last RD to the next first one a bank needs nRTP + nRP + nRCD = 7 = 6 + 1 cycles.

    Bank 0: RD 3..8, PRE 10, ACT 12, RD 15..20; bank 1 has the port at 9..14 and 21..26: it never idles.
    """
    scenario = Scenario(**BUS, columns=6)
    for bank in (0, 1):
        scenario.read(bank, rows=2, columns=6)
    first = "ACT 0  RD 3@0 4@0 5@0 6@0 7@0 8@0  PRE 10  ACT 12  RD 15 16 17 18 19 20  PRE 22"
    second = "ACT 0  RD 9@0 10@0 11@0 12@0 13@0 14@0  PRE 16  ACT 18  RD 21 22 23 24 25 26  PRE 28"
    scenario.gives({0: first, 1: second}, 40)


def test_four_banks_on_two_ports_take_the_lowest_free_one():
    """All four are legal at 3: banks 0 and 1 get ports 0 and 1 for two columns, banks 2 and 3 follow at 5."""
    scenario = Scenario(banks=4, port_banks=4, ports=2)
    for bank in range(4):
        scenario.read(bank)
    scenario.gives(
        {
            0: "ACT 0  RD 3@0 4@0  PRE 6",
            1: "ACT 0  RD 3@1 4@1  PRE 6",
            2: "ACT 0  RD 5@0 6@0  PRE 8",
            3: "ACT 0  RD 5@1 6@1  PRE 8",
        },
        20,
    )


def test_ports_are_counted_through_the_groups():
    """Three banks in groups of two: bank 2 is alone with port 1."""
    scenario = Scenario(banks=3, port_banks=2, ports=1)
    for bank in range(3):
        scenario.read(bank)
    traces = {0: "ACT 0 RD 3@0 4@0 PRE 6", 1: "ACT 0 RD 5@0 6@0 PRE 8", 2: "ACT 0 RD 3@1 4@1 PRE 6"}
    scenario.gives(traces, 20)


def test_private_ports_know_no_turnaround_between_banks():
    """A bank that reads and one that writes never meet."""
    scenario = Scenario(banks=2).read(0).write(1, data=(0, 0))
    scenario.gives({0: "ACT 0  RD 3@0 4@0  PRE 6", 1: "ACT 0  WR 3@1 4@1  PRE 10"}, 20)


@pytest.mark.parametrize(
    ("hold", "first", "second"), [(HOLD_COLUMN, "3 5 7 9", "4 6 8 10"), (HOLD_ROW, "3 5 7 9", "10 12 14 16")]
)
def test_a_bus_held_by_column_interleaves_two_banks(hold, first, second):
    """nCCD 2 and nBL 1: a bank leaves every other cycle of the bus to another one, if it may have it."""
    scenario = Scenario(**(BUS | {"port_hold": hold}), timing={"nCCD": 2})
    scenario.read(0, columns=4).read(1, columns=4)
    last = int(second.split()[-1])
    scenario.gives({0: f"ACT 0  RD {first}  PRE 11", 1: f"ACT 0  RD {second}  PRE {last + 2}"}, 30)


def test_a_slow_bus_serves_the_older_access_first():
    """nBL = nCCD = 2: bank 1 began at 0, bank 0 at 1; by column, bank 1 still has the bus at 3, 5, 7, 9."""
    scenario = Scenario(**(BUS | {"port_hold": HOLD_COLUMN}), nBL=2, timing={"nCCD": 2})
    scenario.read(0, columns=4, ready_at=1).read(1, columns=4)
    scenario.gives({0: "ACT 1  RD 11 13 15 17  PRE 19", 1: "ACT 0  RD 3 5 7 9  PRE 11"}, 30)


def test_a_hit_must_win_the_port_again_and_is_as_old_as_its_own_beginning():
    """Bank 0 holds the bus for one access, 3 4; its hit begins at 5, after bank 1's ACT at 0: bank 1 goes first."""
    scenario = Scenario(**BUS, **OPEN).read(0, rows=2, row_stride=0).read(1)
    scenario.gives({0: "ACT 0  RD 3 4 7 8", 1: "ACT 0  RD 5 6"}, 30)


def test_a_shared_port_turns_around_between_banks():
    """RD 4, so WR of the other bank at 4 + nRTW = 8 9, so RD at 9 + nWTR = 14, although bank 0 is ready at 11."""
    scenario = Scenario(**BUS).read(0, rows=2).write(1, data=(0, 0))
    scenario.gives({0: "ACT 0  RD 3 4  PRE 6  ACT 8  RD 14 15  PRE 17", 1: "ACT 0  WR 8 9  PRE 15"}, 40)


def test_a_port_of_the_right_direction_is_free_sooner():
    """Bank 0 reads on port 0, banks 1 and 2 write: port 1 takes WR again nBL after 4, port 0 only at 4 + nRTW = 8."""
    scenario = Scenario(banks=3, port_banks=3, ports=2).read(0).write(1, data=(0, 0)).write(2, data=(0, 0))
    traces = {0: "ACT 0  RD 3@0 4@0  PRE 6", 1: "ACT 0  WR 3@1 4@1  PRE 10", 2: "ACT 0  WR 5@1 6@1  PRE 12"}
    scenario.gives(traces, 30)


def test_the_port_that_an_older_bank_waits_for_is_kept_from_younger_ones():
    """Bank 1 writes, begun at 0; banks 0 and 2 read, begun at 0 and 2.

    Bank 0 has the bus at 3 4; bank 1 waits for nRTW, so bank 2, legal at 5, does not get it.  WR 8 9; RD at 9 + nWTR.
    """
    scenario = Scenario(**(BUS | {"banks": 3, "port_banks": 3})).read(0).write(1, data=(0, 0)).read(2, ready_at=2)
    traces = {0: "ACT 0  RD 3 4  PRE 6", 1: "ACT 0  WR 8 9  PRE 15", 2: "ACT 2  RD 14 15  PRE 17"}
    scenario.gives(traces, 30)


def test_one_port_is_kept_for_the_older_bank_and_not_all():
    """Banks 0 and 1 read at 3 4.  Bank 2 writes and waits for port 0 up to 4 + nRTW = 8; bank 3, begun at 2, reads."""
    scenario = Scenario(banks=4, port_banks=4, ports=2).read(0).read(1).write(2, data=(0, 0)).read(3, ready_at=2)
    traces = {
        0: "ACT 0  RD 3@0 4@0  PRE 6",
        1: "ACT 0  RD 3@1 4@1  PRE 6",
        2: "ACT 0  WR 8@0 9@0  PRE 15",
        3: "ACT 2  RD 5@1 6@1  PRE 8",
    }
    scenario.gives(traces, 30)


def test_a_port_is_held_up_to_its_last_column():
    """Bank 0 writes on port 0 from 3 to 6, bank 1 reads on port 1 at 3 4; bank 2 writes, bank 3, begun at 2, reads.

    5: nobody holds port 1, so bank 2 keeps it, and bank 3 gets nothing.  6: port 0 is given back and free at 7, so
    bank 2 keeps that one, and bank 3 gets port 1.
    """
    scenario = Scenario(banks=4, port_banks=4, ports=2)
    scenario.write(0, data=(0, 0, 0, 0), columns=4).read(1).write(2, data=(0, 0)).read(3, ready_at=2)
    traces = {
        0: "ACT 0  WR 3@0 4@0 5@0 6@0  PRE 12",
        1: "ACT 0  RD 3@1 4@1  PRE 6",
        2: "ACT 0  WR 7@0 8@0  PRE 14",
        3: "ACT 2  RD 6@1 7@1  PRE 9",
    }
    scenario.gives(traces, 30)


@pytest.mark.parametrize(
    ("hold", "write", "read"),
    [(HOLD_ROW, "WR 3 10  PRE 16", "RD 15 16  PRE 18"), (HOLD_COLUMN, "WR 3 13  PRE 19", "RD 8 9  PRE 11")],
)
def test_a_late_datum_keeps_a_port_that_is_held_by_row(hold, write, read):
    """The second datum of bank 0 is there at 10.  By row the port waits with it, and bank 1 reads at 10 + nWTR = 15.

    By column bank 1 reads at 3 + nWTR = 8 9, and the second WR needs the port turned: 9 + nRTW = 13.
    """
    scenario = Scenario(**(BUS | {"port_hold": hold})).write(0, data=(0, 10)).read(1)
    scenario.gives({0: f"ACT 0  {write}", 1: f"ACT 0  {read}"}, 40)


# --------------------------------------------------------------------------------------------------------- budget


def test_a_channel_hands_out_activations_in_turn():
    """nRRD 6, nRC 8: bank 0 is ready again at 8, but banks 1 (6) and 2 (12) come before its second ACT at 18."""
    scenario = Scenario(banks=3, nRRD=6)
    for bank in range(3):
        scenario.read(bank, rows=2)
    row = "ACT {0}  RD {1} {2}  PRE {3}"
    traces = {b: " ".join(row.format(a, a + 3, a + 4, a + 6) for a in (6 * b, 18 + 6 * b)) for b in range(3)}
    scenario.gives(traces, 60)


def test_a_window_holds_four_activations_of_the_channel():
    """nRRD 1, nFAW 20: banks 0 to 3 at 0 to 3, bank 4 at 0 + 20, bank 5 at 1 + 20."""
    scenario = Scenario(banks=6, nRRD=1, nFAW=20)
    for bank in range(6):
        scenario.read(bank, columns=1)
    traces = {b: f"ACT {a}  RD {a + 3}  PRE {a + 6}" for b, a in enumerate((0, 1, 2, 3, 20, 21))}
    scenario.gives(traces, 40)


def test_without_a_separation_banks_activate_in_one_cycle():
    """No nRRD, nFAW 20: four banks at once, the others when the window is over."""
    scenario = Scenario(banks=6, nFAW=20)
    for bank in range(6):
        scenario.read(bank, columns=1)
    traces = {b: f"ACT {a}  RD {a + 3}  PRE {a + 6}" for b, a in enumerate((0, 0, 0, 0, 20, 20))}
    scenario.gives(traces, 40)


def test_the_die_hands_out_activations_to_channels_in_turn():
    """die_nRRD 10: channel 0 wants its second ACT at 8, but channel 1 (10) has the turn; then 20 and 30."""
    scenario = Scenario(channels=2, die_nRRD=10)
    for channel in (0, 1):
        scenario.read(channel=channel, rows=2)
    row = "ACT {0}  RD {1} {2}  PRE {3}"
    traces = {(c, 0): " ".join(row.format(a, a + 3, a + 4, a + 6) for a in (10 * c, 20 + 10 * c)) for c in (0, 1)}
    scenario.gives(traces, 60)


def test_a_channel_serves_its_banks_before_the_die_looks_at_the_next_one():
    """Three ACT in 20 cycles, two channels of two banks, all want one at 0 and again at 8.

    0: channel 0 bank 0, bank 1, channel 1 bank 0.  The next channel is 0, in it bank 0; in channel 1 it is bank 1.
    20: channel 0 bank 0, bank 1, channel 1 bank 1.  40: only channel 1 is left, both banks.
    """
    scenario = Scenario(channels=2, banks=2, die_nFAW=20, die_acts=3)
    for channel in (0, 1):
        for bank in (0, 1):
            scenario.read(bank, channel=channel, columns=1, rows=2)
    acts = {(0, 0): (0, 20), (0, 1): (0, 20), (1, 0): (0, 40), (1, 1): (20, 40)}
    traces = {key: " ".join(f"ACT {a}  RD {a + 3}  PRE {a + 6}" for a in cycles) for key, cycles in acts.items()}
    scenario.gives(traces, 60)


def test_an_activation_must_pass_the_budget_of_its_channel_and_of_the_die():
    """nRRD 7 in the channel, 3 on the die: bank 0 of channel 0 at 0, channel 1 at 3, bank 1 of channel 0 at 7."""
    scenario = Scenario(channels=2, banks=2, nRRD=7, die_nRRD=3)
    scenario.read(0, columns=1).read(1, columns=1).read(0, channel=1, columns=1)
    acts = {(0, 0): 0, (1, 0): 3, (0, 1): 7}
    scenario.gives({key: f"ACT {a}  RD {a + 3}  PRE {a + 6}" for key, a in acts.items()}, 30)
