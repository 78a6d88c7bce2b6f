"""Sets of ports and virtual channels as bits of one word."""

from nmpsim.kernel import inlined, lowest_bit


@inlined
def first_from(mask, start):
    """Return the first bit of a mask that is set, from `start` on and then from 0; the mask must not be 0."""
    high = (mask >> start) << start
    if high != 0:
        return lowest_bit(high)
    return lowest_bit(mask)


@inlined
def without_lowest(mask):
    """Return the mask without its lowest bit."""
    return mask & (mask - 1)
