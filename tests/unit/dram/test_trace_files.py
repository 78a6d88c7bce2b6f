"""Trace files: round trips, every known format, and every bad line by its number."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.dram.trace import lines as reading
from nmpsim.dram.trace.commands import read_commands, write_commands
from nmpsim.dram.trace.lines import MOST_FAULTS, Column, LineFaults, LineFormat
from nmpsim.dram.trace.requests import read_requests, write_requests
from nmpsim.dram.trace.writing import check_run_folder, whole_file, whole_folder, write_json, write_table
from nmpsim.errors import NmpsimError, SpecError, WorkloadError
from nmpsim.spec.protocol import Command, IssuedCommand, Protocol

LEVELS = ("Channel", "BankGroup", "Bank")
PROTOCOL = Protocol(
    name="little",
    levels=LEVELS,
    sizes=(1, 2, 4),
    rows=16,
    columns=8,
    transaction_bytes=32,
    rows_per_tier=16,
    tick_ps=1000,
    ticks_per_ck=1,
    commands=(
        Command("ACT", "row", 1, "Bank", "open"),
        Command("PREpb", "row", 1, "Bank", "close"),
        Command("RD", "column", 1, "Bank", "none"),
        Command("RDA", "column", 1, "Bank", "close"),
        Command("REFab", "row", 1, "Channel", "none"),
    ),
    constraints=(),
    timing={},
    read_latency=1,
)
CAPACITY = 2 * 4 * 16 * 8 * 32
HEADER = "id,at,op,addr"
FIELDS = "Channel,BankGroup,Bank,Row,Column"
MAPPER = "RoBaRaCoCh"


def write(folder, content, name="trace"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def requests_of(folder, content, name="trace", mapper=MAPPER):
    return read_requests(write(folder, content, name), PROTOCOL, mapper)


# ------------------------------------------------------------------------------------------------------------- requests


def test_byte_addresses_are_mapped(tmp_path):
    trace = requests_of(tmp_path, f"{HEADER}\n7,0,R,32\n9,5,W,256\n")
    assert trace.identity.tolist() == [7, 9]
    assert trace.at.tolist() == [0, 5]
    assert trace.is_write.tolist() == [0, 1]
    assert trace.addr.tolist() == [32, 256]
    assert trace.fields.tolist() == [[0, 0, 0, 0, 1], [0, 1, 0, 0, 0]]
    assert trace.is_timed
    assert not trace.has_fields


def test_fields_of_the_file_win_over_the_address(tmp_path):
    trace = requests_of(tmp_path, f"{HEADER},{FIELDS}\n0,0,R,1024,0,1,3,15,7\n")
    assert trace.fields.tolist() == [[0, 1, 3, 15, 7]]
    assert trace.addr.tolist() == [1024]
    assert trace.has_fields


def test_load_store_traces_are_read_with_decimal_and_hexadecimal_addresses(tmp_path):
    trace = requests_of(tmp_path, "LD 0x20\nST 64\nLD   0X60 \n")
    assert trace.addr.tolist() == [32, 64, 96]
    assert trace.is_write.tolist() == [0, 1, 0]
    assert trace.at.tolist() == [0, 0, 0]
    assert trace.identity.tolist() == [0, 1, 2]
    assert not trace.is_timed


def test_address_vectors_get_an_address_for_each_place(tmp_path):
    """Ramulator's front end gives them all the same one, and its write buffer then swallows most requests."""
    trace = requests_of(tmp_path, "R 0,0,0,0,1\nW 0,1,3,15,7\nR 0,0,0,0,1\n")
    assert trace.fields.tolist() == [[0, 0, 0, 0, 1], [0, 1, 3, 15, 7], [0, 0, 0, 0, 1]]
    assert trace.addr.tolist() == [32, CAPACITY - 32, 32]
    assert trace.is_write.tolist() == [0, 1, 0]


def test_reads_and_writes_with_byte_addresses_are_mapped(tmp_path):
    trace = requests_of(tmp_path, "W 0x40\nR 32\n")
    assert trace.addr.tolist() == [64, 32]
    assert trace.is_write.tolist() == [1, 0]


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n0,0,R,32\n1,0,W,64\n",
        f"{HEADER}\n0,0,R,32\n1,0,W,64",
        f"{HEADER}\r\n0,0,R,32\r\n1,0,W,64\r\n",
        f"\ufeff{HEADER}\n0,0,R,32\n1,0,W,64\n",
        "id, at, op, addr\n0, 0, R, 32\n1, 0, W, 64\n",
        gzip.compress(f"{HEADER}\n0,0,R,32\n1,0,W,64\n".encode()),
        gzip.compress(f"{HEADER}\n0,0,R,32\n".encode()) + gzip.compress(b"1,0,W,64\n"),
    ],
    ids=["plain", "no last newline", "CRLF", "byte order mark", "blanks", "gzip", "gzip of two members"],
)
def test_the_same_requests_in_other_clothes(tmp_path, content):
    assert requests_of(tmp_path, content).addr.tolist() == [32, 64]


def test_chunks_do_not_change_what_is_read(tmp_path, monkeypatch):
    content = f"{HEADER}\n" + "".join(f"{n},{n},{'RW'[n % 2]},{n % 1000 * 32}\n" for n in range(500))
    whole = requests_of(tmp_path, content)
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr(reading, "CHUNK_BYTES", size)
        parts = requests_of(tmp_path, gzip.compress(content.encode()))
        assert np.array_equal(parts.fields, whole.fields)
        assert np.array_equal(parts.at, whole.at)


@st.composite
def request_tables(draw):
    places = st.tuples(*(st.integers(0, size - 1) for size in (1, 2, 4, 16, 8)))
    rows = draw(st.lists(st.tuples(st.integers(0, 10**17), st.sampled_from("RW"), places), min_size=1, max_size=30))
    times = sorted(at for at, _, _ in rows)
    return [(n, at, op, place) for n, (at, (_, op, place)) in enumerate(zip(times, rows, strict=True))]


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
@given(rows=request_tables())
def test_requests_survive_writing_and_reading(tmp_path_factory, name, rows):
    folder = tmp_path_factory.mktemp("round")
    numbers = [((((c * 2 + g) * 4 + b) * 16 + r) * 8 + k) * 32 for _, _, _, (c, g, b, r, k) in rows]
    lines = [
        ",".join(map(str, (n, at, op, addr, *place))) for (n, at, op, place), addr in zip(rows, numbers, strict=True)
    ]
    content = "\n".join([f"{HEADER},{FIELDS}", *lines]) + "\n"
    trace = requests_of(folder, content)
    write_requests(folder / name, trace, PROTOCOL)
    stored = (folder / name).read_bytes()
    assert (gzip.decompress(stored) if name.endswith(".gz") else stored).decode() == content
    again = read_requests(folder / name, PROTOCOL, "PassThrough")
    assert np.array_equal(again.fields, trace.fields)


BAD_REQUESTS = {
    "unaligned address": (f"{HEADER}\n0,0,R,32\n1,0,R,33\n", 3, "addr = 33", "a multiple of 32", "as 32"),
    "address outside": (
        f"{HEADER}\n0,0,R,{CAPACITY}\n",
        2,
        f"addr = {CAPACITY}",
        f"0 to {CAPACITY - 1}",
        "organisation",
    ),
    "index outside": (f"{HEADER},{FIELDS}\n0,0,R,0,0,0,4,0,0\n", 2, "Bank = 4", "0 to 3", "correct it"),
    "row outside": ("R 0,0,0,0,0\nR 0,0,0,16,0\n", 2, "Row = 16", "0 to 15", "correct it"),
    "too few columns": (f"{HEADER}\n0,0,R,32\n1,0,R\n", 3, "3 columns", "4 columns: id,at,op,addr", "complete"),
    "too many columns": (f"{HEADER}\n0,0,R,32,5\n", 2, "5 columns", "4 columns: id,at,op,addr", "remove"),
    "too few indices": ("R 0,0,0,0,0\nR 0,0,0\n", 2, "4 columns", "6 columns: op Channel,BankGroup", "complete"),
    "empty line": (f"{HEADER}\n\n0,0,R,32\n", 2, "an empty line", "4 columns", "remove"),
    "word for a number": (f"{HEADER}\n0,0,R,abc\n", 2, "addr = 'abc'", "an integer of at least 0", "correct addr"),
    "float for a number": (f"{HEADER}\n0,1.5,R,32\n", 2, "at = '1.5'", "an integer", "correct at"),
    "underscore in a number": (f"{HEADER}\n0,1_0,R,32\n", 2, "at = '1_0'", "an integer", "correct at"),
    "number of 19 digits": (f"{HEADER}\n0,{10**18},R,32\n", 2, f"at = '{10**18}'", "at most 18 digits", "correct at"),
    "hexadecimal in a CSV": (f"{HEADER}\n0,0,R,0x20\n", 2, "addr = '0x20'", "an integer", "correct addr"),
    "negative address": (f"{HEADER}\n0,0,R,-32\n", 2, "addr = '-32'", "an integer of at least 0", "correct addr"),
    "negative time": (f"{HEADER}\n0,-1,R,32\n", 2, "at = '-1'", "an integer of at least 0", "correct at"),
    "unknown operation": (f"{HEADER}\n0,0,X,32\n", 2, "op = 'X'", "R or W", "correct op"),
    "unknown load": ("LD 0x20\nLX 0x20\n", 2, "op = 'LX'", "LD or ST", "correct op"),
    "bad hexadecimal": ("LD 0x20\nLD 0xG\n", 2, "address = '0xG'", "hexadecimal digits", "correct address"),
    "time goes back": (f"{HEADER}\n0,5,R,32\n1,4,R,64\n", 3, "at = 4", "at least 5, as in line 2", "sort"),
    "identity twice": (f"{HEADER}\n0,0,R,32\n0,0,R,64\n", 3, "id = 0 once more", "each id once", "number"),
    "one address, two places": (
        f"{HEADER},{FIELDS}\n0,0,R,32,0,0,0,0,1\n1,0,R,32,0,0,0,0,2\n",
        3,
        "addr = 32 at 0,0,0,0,2",
        "one place per address; line 2",
        "its own address",
    ),
    "not text": (HEADER.encode() + b"\n0,0,R,\xff\n", 2, "addr = '\\\\xff'", "an integer", "correct addr"),
    "header missing": ("0,0,R,32\n", 1, "first line '0,0,R,32'", "id,at,op,addr alone or followed by", "header"),
    "header of other levels": (f"{HEADER},Rank,Row\n", 1, "first line 'id,at,op,addr,Rank,Row'", FIELDS, "header"),
    "header in another order": ("at,id,op,addr\n", 1, "first line 'at,id,op,addr'", "id,at,op,addr", "header"),
    "endless line": ("x" * 70000, 1, "a line without end", "at most 65536 bytes", "give a trace"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_named_by_line_got_allowed_and_todo(tmp_path, case):
    content, line, got, allowed, todo = BAD_REQUESTS[case]
    path = write(tmp_path, content)
    with pytest.raises(WorkloadError) as refused:
        read_requests(path, PROTOCOL, MAPPER)
    [fault] = refused.value.faults
    assert fault.where == f"{path}:{line}"
    assert got in fault.got
    assert allowed in fault.allowed
    assert todo in fault.todo


BAD_FILES = {
    "empty": ("trace", b"", "an empty file"),
    "empty gzip": ("trace.gz", gzip.compress(b""), "an empty file"),
    "header only": ("trace", f"{HEADER}\n".encode(), "no request"),
    "not gzip": ("trace.gz", b"LD 0x20\n", "a file that is not gzip"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named(tmp_path, case):
    name, content, got = BAD_FILES[case]
    with pytest.raises(WorkloadError) as refused:
        requests_of(tmp_path, content, name)
    [fault] = refused.value.faults
    assert fault.where == str(tmp_path / name)
    assert fault.got == got


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(WorkloadError, match=why):
            read_requests(path, PROTOCOL, MAPPER)


def test_a_truncated_gzip_file_is_named_with_the_line_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_BYTES", 1000)
    rng = np.random.default_rng(0)
    lines = "".join(f"{n},0,R,{place * 32}\n" for n, place in enumerate(rng.integers(0, 1024, 5000)))
    packed = gzip.compress(f"{HEADER}\n{lines}".encode())
    with pytest.raises(WorkloadError, match="the end of a truncated gzip file") as refused:
        requests_of(tmp_path, packed[: len(packed) // 2], "trace.gz")
    [fault] = refused.value.faults
    assert 1000 < int(fault.where.rpartition(":")[2]) < 4500


def test_a_damaged_gzip_file_is_named(tmp_path):
    packed = bytearray(gzip.compress(f"{HEADER}\n0,0,R,32\n".encode()))
    packed[-6] ^= 1  # in the checksum
    with pytest.raises(WorkloadError, match="damaged gzip"):
        requests_of(tmp_path, bytes(packed), "trace.gz")


def test_all_faults_come_at_once_in_the_order_of_lines(tmp_path):
    content = f"{HEADER}\n0,9,R,33\n1,5,R,64\n2,9,X,oops\n3,9,R\n4,9,R,{CAPACITY}\n"
    with pytest.raises(WorkloadError, match="has 6 faults") as refused:
        requests_of(tmp_path, content)
    found = [(int(fault.where.rpartition(":")[2]), fault.got) for fault in refused.value.faults]
    expected = [(2, "addr = 33"), (3, "at = 5"), (4, "op = 'X'"), (4, "addr = 'oops'"), (5, "3 columns")]
    assert found == [*expected, (6, f"addr = {CAPACITY}")]


def test_a_flood_of_faults_is_cut_and_the_rest_counted(tmp_path):
    content = f"{HEADER}\n" + "nonsense\n" * 1000 + "0,0,R,1\n" * 100
    with pytest.raises(WorkloadError, match="has 1199 faults") as refused:  # 100 unaligned, of which 99 repeat an id
        requests_of(tmp_path, content)
    faults = refused.value.faults
    assert len(faults) == MOST_FAULTS + 1
    assert faults[0].where.endswith(":2")
    assert faults[MOST_FAULTS - 1].where.endswith(f":{MOST_FAULTS + 1}")
    assert faults[-1].got == f"{1199 - MOST_FAULTS} more faults"


def test_a_trace_without_fields_needs_a_mapper(tmp_path):
    with pytest.raises(SpecError, match="give every request its fields"):
        requests_of(tmp_path, f"{HEADER}\n0,0,R,32\n", mapper="PassThrough")


@given(st.text("0123456789,-abRWxX \n", max_size=60))
def test_the_fast_way_and_the_way_by_lines_accept_the_same(text):
    """A chunk is parsed at once or line by line: cut into lines it must give the same numbers or the same refusal."""
    shape = LineFormat([Column("id"), Column("op", ("R", "W")), Column("addr", low=-1)], ",,")
    chunk = (text if text.endswith("\n") else text + "\n").encode()
    together, alone = LineFaults("file", "trace"), LineFaults("file", "trace")
    numbers, lines = shape.read(1, chunk, together)
    parts = [shape.read(n, line + b"\n", alone) for n, line in enumerate(chunk.split(b"\n")[:-1], 1)]
    assert np.array_equal(numbers, np.concatenate([part for part, _ in parts]))
    assert lines.tolist() == [n for _, part in parts for n in part.tolist()]
    assert together.count == alone.count


# ------------------------------------------------------------------------------------------------------------- commands

COMMANDS = [
    IssuedCommand(1, "ACT", (0, 1, 3), 5, 2),
    IssuedCommand(9, "RD", (0, 1, 3), 5, 2),
    IssuedCommand(9, "REFab", (0, -1, -1)),
]


def test_commands_survive_writing_and_reading(tmp_path):
    for name in ("commands.csv", "commands.csv.gz"):
        write_commands(
            tmp_path / name,
            PROTOCOL,
            clock=np.array([c.clock for c in COMMANDS]),
            names=np.array([c.command for c in COMMANDS]),
            address=np.array([c.address for c in COMMANDS]),
            row=np.array([c.row for c in COMMANDS]),
            column=np.array([c.column for c in COMMANDS]),
            extra={"type": np.array([0, 0, -1])},
        )
        trace = read_commands(tmp_path / name, PROTOCOL)
        assert trace.issued() == COMMANDS
        assert trace.extra["type"].tolist() == [0, 0, -1]
        assert trace.line.tolist() == [2, 3, 4]


def test_command_traces_of_ramulator_are_read(tmp_path):
    recorder = (
        f"clock,command,{FIELDS},type,source\n1,ACT,0,1,3,5,2,0,-1\n9,RD,0,1,3,5,2,0,-1\n9,REFab,0,-1,-1,-1,-1,-1,-1\n"
    )
    older = "1, ACT, 0, 1, 3, 5, 2\n9, RD, 0, 1, 3, 5, 2\n9, REFab, 0, -1, -1, -1, -1\n"
    for content in (recorder, older):
        assert read_commands(write(tmp_path, content), PROTOCOL).issued() == COMMANDS


def test_ports_of_commands_are_read(tmp_path):
    content = f"clock,command,{FIELDS},count,port\n1,ACT,0,1,3,5,2,4,-1\n9,RD,0,1,3,5,2,1,6\n"
    trace = read_commands(write(tmp_path, content), PROTOCOL)
    assert [command.port for command in trace.issued()] == [-1, 6]
    assert trace.extra["count"].tolist() == [4, 1]


BAD_COMMANDS = {
    "unknown command": (
        f"clock,command,{FIELDS}\n1,XYZ,0,0,0,0,0\n",
        2,
        "command = 'XYZ'",
        "ACT, PREpb, RD, RDA, REFab",
    ),
    "negative clock": (f"clock,command,{FIELDS}\n-1,ACT,0,0,0,0,0\n", 2, "clock = '-1'", "at least 0"),
    "index below -1": (f"clock,command,{FIELDS}\n1,ACT,0,0,-2,0,0\n", 2, "Bank = '-2'", "or -1 for all"),
    "time goes back": (f"clock,command,{FIELDS}\n5,ACT,0,0,0,0,0\n4,RD,0,0,0,0,0\n", 3, "clock = 4", "at least 5"),
    "column missing": (f"clock,command,{FIELDS}\n1,ACT,0,0,0,0\n", 2, "6 columns", "7 columns"),
    "other levels": ("clock,command,Channel,Rank,Row,Column\n", 1, "first line", f"clock,command,{FIELDS}"),
    "unknown last column": (f"clock,command,{FIELDS},colour\n", 1, "first line", "any of type,source,count,port"),
    "binary": (b"\x05\0\0\0\x09\0\0\0Channel\0\n", 1, "first line", "record it as text"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_a_bad_command_is_named_by_line(tmp_path, case):
    content, line, got, allowed = BAD_COMMANDS[case]
    path = write(tmp_path, content)
    with pytest.raises(WorkloadError) as refused:
        read_commands(path, PROTOCOL)
    [fault] = refused.value.faults
    assert fault.where == f"{path}:{line}"
    assert got in fault.got
    assert allowed in fault.allowed


def test_an_empty_command_trace_is_named(tmp_path):
    with pytest.raises(WorkloadError, match="got an empty file; allowed: a header and commands"):
        read_commands(write(tmp_path, ""), PROTOCOL)


# -------------------------------------------------------------------------------------------------------------- writing


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "table.csv.gz"
    with whole_file(path) as target:
        target.write(b"half")
        assert not path.exists()
    assert gzip.decompress(path.read_bytes()) == b"half"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv.gz"]


def break_off(write, content, error):
    write(content)
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_file_leaves_nothing_and_keeps_the_former_one(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("former")
    with pytest.raises(error), whole_file(path) as target:
        break_off(target.write, b"half", error)
    assert path.read_text() == "former"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in ("one.csv.gz", "two.csv.gz"):
        write_table(tmp_path / name, ["a", "b"], [np.arange(5), np.array(["x"] * 5)])
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()


def test_a_table_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(NmpsimError, match="No such file or directory; allowed: a place to write to"):
        write_table(tmp_path / "none" / "table.csv", ["a"], [np.arange(1)])


def finished(folder):
    with whole_folder(folder) as staging:
        write_json(staging / "summary.json", {"format": "nmpsim-dram-run-1"})
        (staging / "more").write_text("x")


def test_a_folder_takes_the_place_of_a_former_run_as_a_whole(tmp_path):
    target = tmp_path / "deep" / "run"
    finished(target)
    (target / "leftover").write_text("of the former run")
    finished(target)
    assert sorted(path.name for path in target.iterdir()) == ["more", "summary.json"]
    assert [path.name for path in target.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_folder_leaves_nothing_and_keeps_the_former_run(tmp_path, error):
    target = tmp_path / "run"
    finished(target)
    with pytest.raises(error), whole_folder(target) as staging:
        break_off((staging / "half").write_text, "half", error)
    assert sorted(path.name for path in target.iterdir()) == ["more", "summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_folders_of_others_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for name, got in (("file", "a file"), ("mine", "a folder without a summary.json of a former run")):
        with pytest.raises(NmpsimError, match=got):
            check_run_folder(tmp_path / name)
    (tmp_path / "empty").mkdir()
    check_run_folder(tmp_path / "empty")
    check_run_folder(tmp_path / "new")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NmpsimError, match="Not a directory"), whole_folder(tmp_path / "file" / "run"):
        pass
