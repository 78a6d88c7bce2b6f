"""Switch allocation and traversal: flits with a channel and a credit ask for the way to their output.

Per input and output port one virtual channel asks, the first from the port's offset on.  Then inputs are matched to
outputs, by iSLIP or separably as in `vc_allocation`.  When all are matched, the flits that have won are on their way at
once: the arrival of each is an event `sw_alloc_delay + switch_delay + link` cycles later, its credit another.
"""

from nmpsim.kernel import inlined, lowest_bit
from nmpsim.noc.router.bits import first_from, without_lowest
from nmpsim.noc.router.events import ask_for_switch, batch_start, send_credit, send_flit, start_packet
from nmpsim.noc.router.state import (
    ACTIVE,
    HOP_BIT,
    IDLE,
    TAIL,
)

ASKED, GUESSED, GRANTED, GRANTED_GUESSES = range(4)
"""Rows of ``by_input`` and ``by_output``."""

BESIDE = 1 << 16
"""Mark of a winner that was not among those that asked: it held the switch, or its head had guessed."""


@inlined
def release_switch(r, p, params, state):
    """End the hold of input `p`."""
    router = state.router[r]
    router.held_in &= ~(1 << p)
    router.held_out &= ~(1 << state.input_port[r * params.ports + p].held_out)


@inlined
def stop_asking(r, p, v, o, params, state):
    """Take an input virtual channel from those that ask for the switch."""
    port = r * params.ports + p
    router = state.router[r]
    router.asking -= 1
    left = state.asking[port, o] & ~(1 << v)
    state.asking[port, o] = left
    if left == 0:
        into = state.input_port[port]
        into.outputs &= ~(1 << o)
        if into.outputs == 0:
            router.switch_ports &= ~(1 << p)


@inlined
def send_front(r, p, v, now, params, state):
    """Send the flit at the front of an input virtual channel that has won the switch."""
    port = r * params.ports + p
    n = port * params.vcs + v
    channel, into, router = state.input_vc[n], state.input_port[port], state.router[r]
    o = channel.out_port
    out = state.output_port[r * params.ports + o]
    out_vc = state.output_vc[channel.out_vc]
    w = channel.out_vc - (r * params.ports + o) * params.vcs
    flit = state.buffer[n, channel.head]
    channel.head = (channel.head + 1) & (params.places - 1)
    count = channel.count - 1
    channel.count = count
    out_vc.credits -= 1
    out.flits += 1
    to = out.to
    if to >= 0:
        to += w
    else:
        to -= w
    leaves = now + params.sw_alloc_delay + params.switch_delay
    if params.batched_stages and params.switch_delay > 1:
        start = batch_start(router.switch_batch, now + params.sw_alloc_delay, params.switch_delay)
        router.switch_batch = start
        leaves = start + params.switch_delay
        if leaves <= out.last_left:
            leaves = out.last_left + 1
        out.last_left = leaves
    send_flit(to, flit + (1 << HOP_BIT), leaves + out.cycles, params, state)
    if p < params.real_ports:
        to = into.credit_to
        if to >= 0:
            to += v
        else:
            to -= v
        send_credit(to, now + into.credit_cycles, params, state)
    else:  # a branch of a tree: settled at the end of the cycle
        totals = state.tree_totals[0]
        state.sent_branch[totals.sent, 0] = r << 16 | p << 8 | v
        state.sent_branch[totals.sent, 1] = flit
        totals.sent += 1
    held = (router.held_in >> p) & 1
    stays = 0
    if flit & TAIL:
        out_vc.owner = -1
        if params.wait_for_tail_credit:
            out_vc.tail_sent = 1
        else:
            out.free |= 1 << w
        channel.phase = IDLE
    else:
        channel.ready = now + 1
        if count > 0:
            stays = 1
            if params.hold_switch and held == 0:
                router.held_in |= 1 << p
                router.held_out |= 1 << o
                into.held_vc = v
                into.held_out = o
    if held and stays == 0:
        release_switch(r, p, params, state)
    if (into.soon >> v) & 1:  # its head had guessed
        if stays == 0:
            into.soon &= ~(1 << v)
    elif stays == 0 or out_vc.credits == 0:
        stop_asking(r, p, v, o, params, state)
        if stays:
            state.watch[n].slept_at = now + 1
    if channel.phase == IDLE and count > 0:
        state.router[r].pipeline += params.sw_alloc_delay - 1
        start_packet(r, p, v, state.buffer[n, channel.head], now + params.sw_alloc_delay, params, state)
    if count == 0:
        router.occupied += now + 1 - state.watch[n].filled_at


@inlined
def add_guess(p, v, o, offset, inputs, outputs, state):
    """Let a head that only guesses ask for output `o`; the masks are those that asked before."""
    if (inputs >> p) & 1 == 0:
        state.by_input[ASKED, p] = 0
        state.by_input[GUESSED, p] = 0
    if (outputs >> o) & 1 == 0:
        state.by_output[ASKED, o] = 0
        state.by_output[GUESSED, o] = 0
    if (state.by_output[ASKED, o] >> p) & 1 == 0:
        state.by_output[ASKED, o] |= 1 << p
        state.by_output[GUESSED, o] |= 1 << p
        state.by_input[ASKED, p] |= 1 << o
        state.by_input[GUESSED, p] |= 1 << o
        state.chosen[p, o] = v
    elif (state.by_input[GUESSED, p] >> o) & 1:  # a guess replaces guesses only
        state.chosen[p, o] = first_from(1 << v | 1 << state.chosen[p, o], offset)


@inlined
def best_of(asked, guessed, turn, by_priority):
    """Return the first of `asked` from `turn` on; with priorities guesses come last."""
    if by_priority and asked & ~guessed != 0:
        return first_from(asked & ~guessed, turn)
    return first_from(asked, turn)


@inlined
def guesses_of(table, row, n, params):
    """Return which of the requests in a row are guesses; none without speculation."""
    return table[row, n] if params.speculative else 0


@inlined
def connect(r, p, o, moves, won, params, state):
    """Connect input `p` with output `o`; return how many have won, `won` before."""
    into = state.input_port[r * params.ports + p]
    if moves:
        state.output_port[r * params.ports + o].turn = p + 1 if p + 1 < state.router[r].inputs else 0
        into.turn = o + 1 if o + 1 < state.router[r].outputs else 0
    v = state.chosen[p, o]
    into.offset = v + 1 if v + 1 < params.vcs else 0
    beside = 0
    if params.speculative and (state.by_input[GUESSED, p] >> o) & 1:
        channel = state.input_vc[(r * params.ports + p) * params.vcs + v]
        if channel.phase != ACTIVE:  # it did not get a channel: the way through the switch stays unused
            return won
        if state.output_vc[channel.out_vc].credits == 0:
            return won
        state.router[r].pipeline -= params.vc_alloc_delay
        beside = BESIDE
    state.won[won] = beside | p << 8 | v
    return won + 1


@inlined
def match_ports(r, inputs, outputs, won, params, state):
    """Match the inputs of a mask with outputs; return how many have won, `won` before."""
    for iteration in range(params.sw_iterations):
        some, rest = 0, inputs if params.sw_input_first else outputs
        while rest != 0:
            if params.sw_input_first:  # each input picks one output
                p = lowest_bit(rest)
                turn = state.input_port[r * params.ports + p].turn
                asked, guessed = state.by_input[ASKED, p], guesses_of(state.by_input, GUESSED, p, params)
                o = best_of(asked, guessed, turn, params.sw_by_priority)
                if (some >> o) & 1 == 0:
                    state.by_output[GRANTED, o] = 0
                    state.by_output[GRANTED_GUESSES, o] = 0
                some |= 1 << o
                state.by_output[GRANTED, o] |= 1 << p
                if (guessed >> o) & 1:
                    state.by_output[GRANTED_GUESSES, o] |= 1 << p
            else:  # each output grants one input
                o = lowest_bit(rest)
                asked, guessed = state.by_output[ASKED, o] & inputs, guesses_of(state.by_output, GUESSED, o, params)
                if asked != 0:
                    turn = state.output_port[r * params.ports + o].turn
                    p = best_of(asked, guessed, turn, params.sw_by_priority)
                    if (some >> p) & 1 == 0:
                        state.by_input[GRANTED, p] = 0
                    some |= 1 << p
                    state.by_input[GRANTED, p] |= 1 << o
            rest = without_lowest(rest)
        if some == 0:
            break
        while some != 0:
            n = lowest_bit(some)
            some = without_lowest(some)
            if params.sw_input_first:  # each output picks one of those
                o = n
                turn = state.output_port[r * params.ports + o].turn
                asked, guessed = state.by_output[GRANTED, o], guesses_of(state.by_output, GRANTED_GUESSES, o, params)
                p = best_of(asked, guessed, turn, params.sw_by_priority)
            else:  # each input accepts one grant
                p = n
                turn = state.input_port[r * params.ports + p].turn
                asked, guessed = state.by_input[GRANTED, p], guesses_of(state.by_input, GUESSED, p, params)
                o = best_of(asked, guessed, turn, params.sw_by_priority)
            won = connect(r, p, o, iteration == 0, won, params, state)
            inputs &= ~(1 << p)
            outputs &= ~(1 << o)
    return won


@inlined
def keep_connected(r, p, won, params, state):
    """Let the channel that holds the switch at input `p` win it again, or end the hold; return how many have won."""
    v = state.input_port[r * params.ports + p].held_vc
    channel = state.input_vc[(r * params.ports + p) * params.vcs + v]
    if state.output_vc[channel.out_vc].credits > 0:
        state.won[won] = BESIDE | p << 8 | v
        return won + 1
    release_switch(r, p, params, state)
    return won


@inlined
def size_of(mask):
    """Return the number of bits that are set."""
    n = 0
    while mask != 0:
        mask = without_lowest(mask)
        n += 1
    return n


@inlined
def join_those_ready(r, now, params, state):
    """Let those ask for the switch in the next cycle that have won an output virtual channel and are ready then."""
    router = state.router[r]
    ports = router.soon_ports
    while ports != 0:
        p = lowest_bit(ports)
        ports = without_lowest(ports)
        into = state.input_port[r * params.ports + p]
        channels = into.soon
        while channels != 0:
            v = lowest_bit(channels)
            channels = without_lowest(channels)
            ready = state.input_vc[(r * params.ports + p) * params.vcs + v].ready
            if ready <= now + 1:
                into.soon &= ~(1 << v)
                ask_for_switch(r, p, v, ready, params, state)
        if into.soon == 0:
            router.soon_ports &= ~(1 << p)


@inlined
def allocate_switch(r, guesses, now, params, state):
    """Match all flits of router `r` that ask in this cycle, and send those that win."""
    base = r * params.ports
    router = state.router[r]
    held_in, held_out = router.held_in, router.held_out
    inputs = outputs = won = held_back = 0
    contested = guesses
    asked = router.asking
    ports = router.switch_ports
    while ports != 0:
        p = lowest_bit(ports)
        ports = without_lowest(ports)
        into = state.input_port[base + p]
        wanted = into.outputs
        if held_in != 0:
            rest = wanted if (held_in >> p) & 1 else wanted & held_out
            wanted &= ~rest
            while rest != 0:
                held_back += size_of(state.asking[base + p, lowest_bit(rest)])
                rest = without_lowest(rest)
        if wanted == 0:
            continue
        inputs |= 1 << p
        contested |= without_lowest(wanted) | (wanted & outputs)
        state.by_input[ASKED, p] = wanted
        if params.speculative:
            state.by_input[GUESSED, p] = 0
        while wanted != 0:
            o = lowest_bit(wanted)
            wanted = without_lowest(wanted)
            state.chosen[p, o] = first_from(state.asking[base + p, o], into.offset)
            if (outputs >> o) & 1:
                state.by_output[ASKED, o] |= 1 << p
            else:
                outputs |= 1 << o
                state.by_output[ASKED, o] = 1 << p
                if params.speculative:
                    state.by_output[GUESSED, o] = 0
    for n in range(guesses):
        o, p, v = state.guess[n] >> 16, (state.guess[n] >> 8) & 255, state.guess[n] & 255
        if (held_in >> p) & 1 == 0 and (held_out >> o) & 1 == 0:
            add_guess(p, v, o, state.input_port[base + p].offset, inputs, outputs, state)
            inputs |= 1 << p
            outputs |= 1 << o
    held_ports = held_in
    while held_ports != 0:
        p = lowest_bit(held_ports)
        held_ports = without_lowest(held_ports)
        won = keep_connected(r, p, won, params, state)
    held_back -= won
    asked -= won
    if contested != 0:
        won = match_ports(r, inputs, outputs, won, params, state)
    else:  # every input asks for one output, and nobody else for that
        while inputs != 0:
            p = lowest_bit(inputs)
            inputs = without_lowest(inputs)
            won = connect(r, p, lowest_bit(state.by_input[ASKED, p]), True, won, params, state)
    for n in range(won):
        place = state.won[n]
        if place & BESIDE == 0:
            asked -= 1
        send_front(r, (place >> 8) & 255, place & 255, now, params, state)
    router.transfer += won
    router.switch_conflict += asked - held_back
    router.switch_held += held_back
