"""The part of Perfetto's protobuf format that a trace needs, written without a compiler of protobuf.

A message is a run of fields: a key ``number * 8 + type``, then a varint (type 0), 8 bytes (1), or length and bytes (2).
Numbers are those of ``protos/perfetto/trace/trace_packet.proto`` and ``track_event/*.proto``.
"""

from __future__ import annotations

import struct
from functools import cache

SLICE_BEGIN, SLICE_END, INSTANT, COUNTER = 1, 2, 3, 4
SEQUENCE = 1


def varint(value: int) -> bytes:
    """Return a number, negative ones in 64 bits."""
    value &= 0xFFFFFFFFFFFFFFFF
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def number(field: int, value: int) -> bytes:
    """Return a field that holds a number."""
    return varint(field * 8) + varint(value)


def fixed(field: int, value: int) -> bytes:
    """Return a field that holds 64 bits."""
    return varint(field * 8 + 1) + struct.pack("<Q", value)


def nested(field: int, content: bytes) -> bytes:
    """Return a field that holds a message or text."""
    return varint(field * 8 + 2) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    """Return a field that holds text."""
    return nested(field, value.encode())


def packet(content: bytes) -> bytes:
    """Return one packet of a trace."""
    return nested(1, content + number(10, SEQUENCE))


def first_packet(names: list[str]) -> bytes:
    """Return the packet that starts the sequence and numbers the names of events from 1 on."""
    interned = b"".join(nested(2, number(1, i) + text(2, name)) for i, name in enumerate(names, 1))
    return packet(number(13, 1) + nested(12, interned))  # SEQ_INCREMENTAL_STATE_CLEARED


def group_track(uuid: int, name: str, pid: int) -> bytes:
    """Return the descriptor of a group of tracks, shown as a process."""
    return packet(nested(60, number(1, uuid) + nested(3, number(1, pid) + text(6, name))))


def slice_track(uuid: int, name: str, parent: int, rank: int) -> bytes:
    """Return the descriptor of a track that holds slices."""
    return packet(nested(60, number(1, uuid) + text(2, name) + number(5, parent) + number(12, rank)))


def counter_track(uuid: int, name: str, parent: int, unit: str, rank: int) -> bytes:
    """Return the descriptor of a track that holds a counter."""
    return packet(
        nested(60, number(1, uuid) + text(2, name) + number(5, parent) + nested(8, text(6, unit)) + number(12, rank))
    )


@cache
def _begin(track: int, name: int) -> bytes:
    return number(9, SLICE_BEGIN) + number(11, track) + number(10, name)


@cache
def _end(track: int) -> bytes:
    return nested(11, number(9, SLICE_END) + number(11, track)) + number(10, SEQUENCE)


def begin(at: int, track: int, name: int, flows: bytes = b"") -> bytes:
    """Return the begin of a slice; `name` is its number."""
    return nested(1, number(8, at) + number(13, 2) + nested(11, _begin(track, name) + flows) + number(10, SEQUENCE))


def end(at: int, track: int) -> bytes:
    """Return the end of the innermost slice of a track."""
    return nested(1, number(8, at) + _end(track))


def count(at: int, track: int, value: int) -> bytes:
    """Return a new value of a counter."""
    return packet(number(8, at) + nested(11, number(9, COUNTER) + number(11, track) + number(30, value)))


def flow_from(identity: int) -> bytes:
    """Return the field of a slice from which an arrow starts."""
    return fixed(47, identity)


def flow_to(identity: int) -> bytes:
    """Return the field of a slice at which an arrow ends."""
    return fixed(48, identity)
