"""Section [noc.pu] of a chip file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nmpsim.spec.fields import Bytes, Count, Delay, Ghz, Millimetres, Section, Sourced, Stage

Allocator = Literal["islip", "separable_input_first", "separable_output_first"]


class PuNoc(Section):
    """Section [noc.pu] of a chip file: the network inside each PU; used if it has several cores."""

    topology: str = Field(description="word; as that of [noc], with as many nodes as cores of a PU")
    clock_GHz: Sourced[Ghz] = Field(description="GHz; its clock")
    flit_bytes: Sourced[Bytes] = Field(description="bytes; one flit, divides that of [noc] or is a multiple of it")
    vcs: Sourced[Annotated[int, Field(ge=1, le=62)]] = Field(
        description="virtual channels; per link, the lower half for messages on their way out of the PU"
    )
    buffer_flits: Sourced[Annotated[int, Field(ge=1, le=4096)]] = Field(
        description="flits; input buffer of a virtual channel"
    )
    routing_cycles: Sourced[Delay] = Field(description="its cycles; 0 = the route was found one hop before")
    vc_alloc_cycles: Sourced[Stage] = Field(description="its cycles; allocation of a virtual channel")
    switch_alloc_cycles: Sourced[Stage] = Field(description="its cycles; allocation of the switch")
    switch_cycles: Sourced[Stage] = Field(description="its cycles; through the switch")
    speculation: Literal["on", "off"] = Field(description="word; a head asks for channel and switch at once")
    vc_allocator: Allocator = Field(description="word; how channels are matched to heads")
    switch_allocator: Allocator = Field(description="word; how outputs are matched to inputs")
    link_cycles: Sourced[Stage] = Field(description="its cycles; wire between two routers")
    port_cycles: Sourced[Delay] = Field(description="its cycles; wire between a router and its core or gateway")
    credit_cycles: Sourced[Stage] = Field(
        description="its cycles; arrival of a credit to its use, place of a port's queue freed to seen"
    )
    sync_cycles: Sourced[Count] = Field(description="cycles of the receiving clock; clock crossing")
    inject_flits: Sourced[Count] = Field(description="flits; injection queue of a port of a core")
    eject_flits: Sourced[Count] = Field(description="flits; ejection queue of a port of a core")
    gateway_flits: Sourced[Count] = Field(description="flits; each queue between a gateway and the network of its PU")
    hop_mm: Sourced[Millimetres] = Field(description="mm; wire between two routers")
