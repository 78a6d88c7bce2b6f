"""The routers of a network, in section [noc] of a chip file, and its section [noc.pu]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nmpsim.spec.fields import Bytes, Count, Delay, Ghz, Millimetres, Section, Sourced, Stage

Allocator = Literal["islip", "separable_input_first", "separable_output_first"]


class Routers(Section):
    """What sections [noc] and [noc.pu] have in common; its cycles are those of its own network."""

    topology: str = Field(
        description="word; ring, crossbar, mesh:KxK or torus:KxK, as `nmpsim noc run`; with a node for every PU,"
        " in [noc.pu] for every core of one"
    )
    flit_bytes: Sourced[Bytes] = Field(
        description="bytes; one flit, one cycle of a link; in [noc.pu] a divisor or multiple of that in [noc]"
    )
    vcs: Sourced[Annotated[int, Field(ge=1, le=62)]] = Field(
        description="virtual channels; per link, the dateline of a ring needs two; in [noc.pu] the lower half is for"
        " messages on their way out of the PU"
    )
    buffer_flits: Sourced[Annotated[int, Field(ge=1, le=4096)]] = Field(
        description="flits; input buffer of a virtual channel"
    )
    routing_cycles: Sourced[Delay] = Field(description="network cycles; 0 = the route was found one hop before")
    vc_alloc_cycles: Sourced[Stage] = Field(description="network cycles; allocation of a virtual channel")
    switch_alloc_cycles: Sourced[Stage] = Field(description="network cycles; allocation of the switch")
    switch_cycles: Sourced[Stage] = Field(description="network cycles; through the switch")
    speculation: Literal["on", "off"] = Field(description="word; a head asks for channel and switch at once")
    vc_allocator: Allocator = Field(description="word; how channels are matched to heads")
    switch_allocator: Allocator = Field(description="word; how outputs are matched to inputs")
    link_cycles: Sourced[Stage] = Field(description="network cycles; wire between two routers")
    port_cycles: Sourced[Delay] = Field(description="network cycles; wire between a router and its core or gateway")
    credit_cycles: Sourced[Stage] = Field(
        description="network cycles; arrival of a credit to its use, place of a port's queue freed to seen"
    )
    sync_cycles: Sourced[Count] = Field(description="cycles of the receiving clock; clock crossing")
    inject_flits: Sourced[Count] = Field(description="flits; injection queue of a port")
    eject_flits: Sourced[Count] = Field(description="flits; ejection queue of a port")


class PuNoc(Routers):
    """Section [noc.pu] of a chip file: the network inside each PU; used if it has several cores."""

    clock_GHz: Sourced[Ghz] = Field(description="GHz; its clock")
    gateway_flits: Sourced[Count] = Field(description="flits; each queue between a gateway and the network of its PU")
    hop_mm: Sourced[Millimetres] = Field(description="mm; wire between two routers")
