"""Checker of programs, independent of the encoder: every rule that a program must keep to mean what it says.

=====  ===========================================================================================
1      every instruction fits its unit and the chip
2      every operand lies in the buffer, results lie beside their operands
3      images lie in the banks and do not overlap; every move refers to one
4      streams deliver, strip by strip, the beats that the passes take
5      multiply-accumulates and streamed bytes are those of the operators, every element once
6      the program ends: finite queues, semaphores, messages and FIFOs
7      no byte is read before it is written, or overwritten while it may still be read (`check_hazards`)
=====  ===========================================================================================

Rules 1 to 6 take seconds for a whole model.  Rule 7 follows every byte and is meant for small programs.
"""

from __future__ import annotations

from typing import NamedTuple

from nmpsim.errors import Fault, IllegalScheduleError
from nmpsim.program.program import Program
from nmpsim.schedule.legality.delivery import check_delivery
from nmpsim.schedule.legality.form import check_form
from nmpsim.schedule.legality.hazards import find_hazards
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.schedule.legality.operands import Boxes, check_operands, operand_boxes
from nmpsim.schedule.legality.order import Order, execute
from nmpsim.schedule.legality.placement import Images, check_placement
from nmpsim.schedule.legality.serial import one_by_one
from nmpsim.schedule.legality.work import check_work
from nmpsim.spec.params import MachineParams


class _Checked(NamedTuple):
    listing: Listing
    boxes: Boxes
    order: Order
    source: Indices


def check_program(program: Program, params: MachineParams) -> None:
    """Check rules 1 to 6.

    Parameters
    ----------
    program : Program
    params : MachineParams
        The chip it was encoded for.

    Raises
    ------
    IllegalScheduleError
        With the first `nmpsim.schedule.legality.listing.MOST_FAULTS` faults.
    """
    _check(program, params)


def check_hazards(program: Program, params: MachineParams) -> None:
    """Check all rules, rule 7 too.  Takes milliseconds an instruction: for small programs.

    Parameters
    ----------
    program : Program
    params : MachineParams
        The chip it was encoded for.

    Raises
    ------
    IllegalScheduleError
        With the first `nmpsim.schedule.legality.listing.MOST_FAULTS` faults.
    """
    listing, boxes, order, source = _check(program, params)
    find_hazards(listing, boxes, one_by_one(listing, source) or order, source)
    _refuse(listing)


def _check(program: Program, params: MachineParams) -> _Checked:
    """Check rule after rule; those that build on others only where the others hold."""
    if len(program.streams) != params.cores or program.chip != params.name:
        fault = Fault(
            "program",
            f"{len(program.streams)} instruction streams for chip {program.chip}",
            f"{params.cores}, one per PU, for chip {params.name}",
            "encode it for this chip",
        )
        raise IllegalScheduleError("the program is of another chip", [fault])
    listing = Listing(program, params)
    check_form(listing)
    well_formed = listing.number == 0
    images = Images(listing)
    check_placement(listing, images)
    if not well_formed:
        _refuse(listing)
    boxes = operand_boxes(listing)
    check_operands(listing, boxes)
    _refuse(listing)
    source = check_delivery(listing, images)
    check_work(listing, images)
    _refuse(listing)
    order = execute(listing, images, source)
    _refuse(listing)
    return _Checked(listing, boxes, order, source)


def _refuse(listing: Listing) -> None:
    if listing.number:
        more = listing.number - len(listing.faults)
        rest = f" (the first {len(listing.faults)} of {listing.number})" if more else ""
        raise IllegalScheduleError(f"the program is not legal: {listing.number} faults{rest}", listing.faults)


__all__ = ["check_hazards", "check_program"]
