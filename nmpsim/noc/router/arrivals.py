"""What arrives in a cycle, and to whom it goes: routers, nodes, trees."""

from nmpsim.kernel import inlined
from nmpsim.noc.router.events import arrive, enter_router, send_credit, take_credit, take_source_credit
from nmpsim.noc.router.members import arrive_in_tree, enter_tree


@inlined
def take_arrivals(now, params, state):
    """Take all that arrives in this cycle."""
    slot = now & (params.wheel - 1)
    for n in range(state.flit_count[slot]):
        event = (slot * params.room + n) * 2
        to, flit = state.flit_event[event], state.flit_event[event + 1]
        if to >= 0:
            if params.multicast_vcs == 0 or ((to >> 8) & 255 < params.real_ports and to & 255 < params.unicast_vcs):
                enter_router(to, flit, now, params, state)
            else:
                enter_tree(to, flit, now, params, state)
            continue
        node, v = (-1 - to) >> 8, (-1 - to) & 255
        if v >= params.unicast_vcs:
            arrive_in_tree(node, v, flit, now, params, state)
        else:
            arrive(node, flit, now, state)
            source = state.source[node]
            send_credit(source.eject_place + v, now + source.eject_credit, params, state)
    state.flit_count[slot] = 0
    for n in range(state.credit_count[slot]):
        place = state.credit_event[slot * params.room * 2 + n]
        if place < 0:
            take_source_credit(-1 - place, now, params, state)
        else:
            take_credit(place, now, params, state)
    state.credit_count[slot] = 0
