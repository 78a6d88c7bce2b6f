"""Steps of a die's network: one for the routers with their terminals, one for each link between stacks."""

from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.noc.die.endpoint import step_terminal, take_arrivals
from nmpsim.noc.die.gateway import visit_link
from nmpsim.noc.die.record import observe_links
from nmpsim.noc.die.sums import settle_adders, step_adders
from nmpsim.noc.router.members import finish_branches
from nmpsim.noc.router.network import next_event, step_router


@inlined
def step_terminals(now, plain, order, noc, stacks, period, ports, fabric):
    """Step the terminals that may act; lower the wake of each node to when its own may act again.

    A wake that has not come stands for stamps that somebody else has written since: it stays.
    """
    last = len(fabric.terminal) // noc.nodes
    for c in order:
        used = plain or ports.wake[c] <= now
        soon = NEVER if used else ports.wake[c]
        for d in range(last):
            terminal = fabric.terminal[d * noc.nodes + c]
            if used or terminal.again <= now:
                terminal.again = step_terminal(c, d, now, noc, stacks, period, ports, fabric)
            soon = min(soon, terminal.again)
        ports.wake[c] = soon


@inlined
def step_routers(cycle, order, fabric):
    """Step the routers that have work; return whether any will have in the next cycle."""
    params, routers = fabric.params, fabric.routers
    for r in order:
        if r < params.routers and (routers.work[r >> 5] >> (r & 31)) & 1:
            step_router(r, cycle, params, routers)
    busy = 0
    for word in range(len(routers.work)):
        routers.work[word] |= routers.work_soon[word]
        routers.work_soon[word] = 0
        busy |= routers.work[word]
    return busy != 0


@kernel
def step_network(now, plain, order, noc, link, stacks, periods, ports, fabric):
    """Advance the routers of a die and their terminals at the clock edge `now` (changes `ports` and `fabric`).

    Parameters
    ----------
    now : int
        A multiple of the network's period; ticks.
    plain : int
        1: look at every terminal; 0: only at those that may act.
    order : ndarray of int64, shape (nodes,)
        Order in which nodes and routers are visited; any permutation gives the same.
    noc : NocParams
    link : LinkParams
    stacks : int
        Stacks in the ring of stacks, this one included.
    periods : (int, int)
        Periods of core and network; ticks.
    ports : NocState
        Its wakes are set: that of a node to the first stamp its terminals wait for, the last one to the next cycle in
        which a router or wire has something to do.  NEVER if only a new stamp of somebody else can wake it.
    fabric : Fabric

    Timing
    ------
    Takes flits whose ``ready_at`` and credits whose ``free_at`` are <= now; stamps flits and credits in the future.
    Order of a cycle: arrivals, terminals, adders, routers.
    """
    core_period, period = periods
    cycle = now // period
    for c in range(noc.nodes):
        ports.node[c].eject_at = NEVER
        ports.node[c].credit_at = NEVER
    take_arrivals(now, noc, link, stacks, period, core_period, ports, fabric)
    step_terminals(now, plain, order, noc, stacks, period, ports, fabric)
    adding = False
    if fabric.params.lanes > 0:
        adding = step_adders(cycle, now, order, noc, ports, fabric)
    busy = step_routers(cycle, order, fabric)
    if adding:
        busy = True
    if fabric.params.multicast_vcs > 0 and finish_branches(cycle, fabric.params, fabric.routers) > 0:
        busy = True
    observe_links(now, noc, period, fabric)
    fabric.routers.totals[0].now = cycle + 1
    if busy:
        ports.wake[noc.nodes] = now + period
    else:
        end = cycle + 1 + fabric.params.wheel
        event = next_event(cycle + 1, end, fabric.params, fabric.routers)
        ports.wake[noc.nodes] = event * period if event < end else NEVER


@kernel
def step_link(c, now, noc, link, noc_period, ports, fabric):
    """Advance the link of node `c` to the neighbour stacks at its clock edge `now`; return its wake.

    Parameters
    ----------
    c : int
        Node.
    now : int
        A multiple of the link's period; ticks.
    noc : NocParams
    link : LinkParams
    noc_period : int
        Period of the network; ticks.
    ports : NocState
        The wake of the node is lowered.
    fabric : Fabric
        Changed.

    Returns
    -------
    int
        First tick > `now` at which the link may act; NEVER if only the network can wake it.
    """
    return visit_link(c, now, noc, link, noc_period, ports, fabric)


@kernel
def settle_fabric(cycle, now, fabric):
    """Close the accounts: of the routers at the start of a network cycle, of the links at a tick.

    Parameters
    ----------
    cycle : int
        Network cycles done.
    now : int
        Ticks.
    fabric : Fabric
        Changed.
    """
    fabric.routers.totals[0].now = cycle
    settle_adders(cycle, fabric)
    for c in range(len(fabric.link)):
        record = fabric.link[c]
        fabric.link_stall[c, record.reason] += now - record.since
        record.since = now
