"""VC allocation: heads at input virtual channels ask for output virtual channels.

A head asks for every free channel that its route allows.  Per output port the askers are matched to channels:

iSLIP
    each free channel grants the first asker from its turn on, in the order of ports and then channels; each asker
    accepts the first grant from its own turn on; further iterations match who is left.
separable, input first
    each asker picks the first channel from its turn on; each channel picks the first of these from its turn on.

A turn moves behind the winner, and only if the pair won (in the first iteration).
"""

from nmpsim.kernel import inlined, lowest_bit
from nmpsim.noc.router.bits import first_from, without_lowest
from nmpsim.noc.router.state import ACTIVE


@inlined
def first_asker(vc, turn, state):
    """Return the asker for output virtual channel `vc` that is first from `turn` on; port << 8 | vc."""
    ports = state.asked_ports[vc]
    p, v = turn >> 8, turn & 255
    if (ports >> p) & 1:
        rest = (state.asked_vcs[vc, p] >> v) << v
        if rest != 0:
            return p << 8 | lowest_bit(rest)
    p = first_from(ports, p + 1)
    return p << 8 | lowest_bit(state.asked_vcs[vc, p])


@inlined
def grant_channel(r, o, w, place, moves, now, params, state):
    """Give output virtual channel (o, w) of router `r` to the input virtual channel at `place`."""
    p, v = place >> 8, place & 255
    port = r * params.ports + p
    channel = state.input_vc[port * params.vcs + v]
    out_vc = (r * params.ports + o) * params.vcs + w
    out = state.output_vc[out_vc]
    if moves:
        channel.turn = (o << 8) + w + 1
        if v + 1 < params.vcs:
            out.turn = place + 1
        elif p + 1 < state.router[r].inputs:
            out.turn = (p + 1) << 8
        else:
            out.turn = 0
    out.owner = r << 16 | place
    state.output_port[r * params.ports + o].free &= ~(1 << w)
    channel.phase = ACTIVE
    channel.out_vc = out_vc
    channel.ready = now + params.vc_alloc_delay
    state.router[r].pipeline += params.vc_alloc_delay
    into = state.input_port[port]
    into.wants_vc &= ~(1 << v)
    if into.wants_vc == 0:
        state.router[r].vc_ports &= ~(1 << p)
    into.soon |= 1 << v
    state.router[r].soon_ports |= 1 << p


@inlined
def first_channel(place, o, mask, r, params, state):
    """Return the channel of output `o`, of those in `mask`, that comes first from the asker's turn on."""
    turn = state.input_vc[(r * params.ports + (place >> 8)) * params.vcs + (place & 255)].turn
    if turn >> 8 == o and turn & 255 < params.vcs:
        return first_from(mask, turn & 255)
    return lowest_bit(mask)


@inlined
def match_output(r, o, now, params, state):
    """Match those that ask for channels of output `o`, several, with its channels; return how many won."""
    won = 0
    for iteration in range(params.vc_iterations):
        channels = 0
        alike = params.vc_input_first == 0  # all ask for the same channels: one row of the table tells who
        n = state.first_ask[o]
        first = state.ask[n].mask
        while n >= 0 and alike:
            alike = state.ask[n].mask == first
            n = state.ask[n].following
        n = state.first_ask[o]
        while n >= 0:  # who asks for which channel
            ask = state.ask[n]
            mask = ask.mask
            if iteration > 0:
                mask &= state.output_port[r * params.ports + o].free
            if mask != 0 and params.vc_input_first:
                mask = 1 << first_channel(ask.place, o, mask, r, params, state)
            p, v = ask.place >> 8, ask.place & 255
            state.granted[p, v] = 0
            while mask != 0:
                w = lowest_bit(mask)
                if (channels >> w) & 1 == 0:
                    channels |= mask if alike else 1 << w
                    state.asked_ports[w] = 0
                if (state.asked_ports[w] >> p) & 1 == 0:
                    state.asked_ports[w] |= 1 << p
                    state.asked_vcs[w, p] = 0
                state.asked_vcs[w, p] |= 1 << v
                mask = 0 if alike else without_lowest(mask)
            n = ask.following
        if channels == 0:
            break
        row = lowest_bit(channels)
        while channels != 0:  # each channel grants one
            w = lowest_bit(channels)
            channels = without_lowest(channels)
            turn = state.output_vc[(r * params.ports + o) * params.vcs + w].turn
            place = first_asker(row if alike else w, turn, state)
            state.granted[place >> 8, place & 255] |= 1 << w
        n = state.first_ask[o]
        while n >= 0:  # each asker accepts one
            ask = state.ask[n]
            mask = state.granted[ask.place >> 8, ask.place & 255]
            if mask != 0:
                w = first_channel(ask.place, o, mask, r, params, state)
                grant_channel(r, o, w, ask.place, iteration == 0, now, params, state)
                ask.mask = 0
                won += 1
            n = ask.following
    return won


@inlined
def has_credit(r, o, mask, params, state):
    """Return 1 if one of the channels of output `o` in `mask` has a credit, else 0."""
    while mask != 0:
        if state.output_vc[(r * params.ports + o) * params.vcs + lowest_bit(mask)].credits > 0:
            return 1
        mask = without_lowest(mask)
    return 0


@inlined
def allocate_channels(r, now, params, state):
    """Match all heads of router `r` that ask in this cycle; return how many of them guess that they will win.

    The guesses, for speculation, are left in ``state.guess``.
    """
    base = r * params.ports
    outputs = 0
    asks = busy = won = guesses = 0
    ports = state.router[r].vc_ports
    while ports != 0:
        p = lowest_bit(ports)
        ports = without_lowest(ports)
        channels = state.input_port[base + p].wants_vc
        while channels != 0:
            v = lowest_bit(channels)
            channels = without_lowest(channels)
            channel = state.input_vc[(base + p) * params.vcs + v]
            if channel.ready > now:
                continue
            o = channel.out_port
            mask = channel.mask & state.output_port[base + o].free
            if mask == 0:
                busy += 1
                continue
            ask = state.ask[asks]
            ask.place = p << 8 | v
            ask.mask = mask
            ask.following = -1
            if (outputs >> o) & 1:
                ask.following = state.first_ask[o]
            state.first_ask[o] = asks
            outputs |= 1 << o
            asks += 1
            if params.speculative and has_credit(r, o, mask, params, state):
                state.guess[guesses] = o << 16 | p << 8 | v
                guesses += 1
    while outputs != 0:
        o = lowest_bit(outputs)
        outputs = without_lowest(outputs)
        ask = state.ask[state.first_ask[o]]
        if ask.following < 0:  # one asker: it is granted all, and accepts the first from its turn on
            w = first_channel(ask.place, o, ask.mask, r, params, state)
            grant_channel(r, o, w, ask.place, True, now, params, state)
            won += 1
        else:
            won += match_output(r, o, now, params, state)
    state.router[r].vc_busy += busy
    state.router[r].vc_conflict += asks - won
    return guesses
