import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from nexus_recording import Writer, found, pieces
from nexus_recording import segments as kept
from nexus_recording.segments import INDEX, first_stamp

from nexus_core.errors import DataError, NotFoundError

SECOND = 10**9
LINES = [b'%d {"n":%d}\n' % (k * SECOND, k) for k in range(1, 2_001)]


def text(path, faults=None, size=2**18):
    faults = [] if faults is None else faults
    return b"".join(pieces(path, faults, size)), faults


def wrong(path):
    return [each.kind for each in text(path)[1]]


def written(folder, lines=LINES, **rules):
    with Writer(folder, "btcusdt", **rules) as writer:
        for each in lines:
            stamp, _, message = each.rstrip().partition(b" ")
            writer.write(int(stamp), message)
    return found(str(folder))


def test_what_is_written_is_read_and_any_gzip_reads_it(tmp_path):
    (path,) = written(tmp_path)
    assert text(path) == (b"".join(LINES), [])
    assert gzip.decompress(path.read_bytes()) == b"".join(LINES)
    assert text(path, size=5)[0] == b"".join(LINES)


def test_segments_turn_over_by_size_and_by_time_and_the_index_knows_them(tmp_path):
    by_time = written(tmp_path / "a", seconds=500)
    assert [each.name[-25:-9] for each in by_time] == [
        f"{k:016d}"[-16:] for k in (1000000000, 501000000000, 1001000000000, 1501000000000)
    ]
    facts = [json.loads(each) for each in (tmp_path / "a" / INDEX).read_bytes().splitlines()]
    assert [(each["file"], each["lines"]) for each in facts] == [(each.name, 500) for each in by_time]
    for each, path in zip(facts, by_time, strict=True):
        assert each["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert each["bytes"] == len(text(path)[0])
    assert (facts[1]["first"], facts[1]["last"]) == (501 * SECOND, 1000 * SECOND)
    by_size = written(tmp_path / "b", size=10_000)
    assert len(by_size) == -(-sum(map(len, LINES)) // 10_020)
    assert b"".join(text(each)[0] for each in by_size) == b"".join(LINES)


def test_what_was_flushed_survives_a_kill(tmp_path):
    script = f"""
        import os, signal
        from pathlib import Path
        from nexus_recording import Writer
        writer = Writer(Path({str(tmp_path)!r}), "x")
        for k in range(1, 1001):
            writer.write(k, b'{{"n":%d}}' % k)
            if k == 700:
                writer.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    (path,) = found(str(tmp_path))
    whole, faults = text(path)
    assert whole.count(b"\n") >= 700
    assert whole.startswith(b'1 {"n":1}\n')
    assert [each.kind for each in faults] == ["torn"]
    assert not (tmp_path / INDEX).exists()


@pytest.mark.parametrize("cut", [1, 9, 100, 2_000])
def test_a_torn_end_is_a_fault_and_all_before_it_is_read(tmp_path, cut):
    path = tmp_path / "day.gz"
    raw = gzip.compress(b"".join(LINES))
    path.write_bytes(raw[:-cut])
    whole, faults = text(path)
    assert [each.kind for each in faults] == ["torn"]
    assert b"".join(LINES).startswith(whole)
    assert len(whole) > len(b"".join(LINES)) * (len(raw) - cut - 600) / len(raw)


def test_damage_costs_one_member_and_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MEMBER", 5_000)
    (path,) = written(tmp_path)
    raw = bytearray(path.read_bytes())
    heads = [k for k in range(len(raw)) if raw.startswith(kept.MAGIC, k)]
    assert len(heads) > 5
    raw[heads[2] + 40] ^= 0xFF
    path.write_bytes(raw)
    faults = []
    parts = list(pieces(path, faults))
    whole = b"".join(LINES)
    assert [each.kind for each in faults] == ["damaged", "damaged"]
    assert b"" in parts
    at = parts.index(b"")
    before, after = b"".join(parts[:at]), b"".join(parts[at:])
    assert whole.endswith(after)
    assert whole.startswith(before[: len(before) // 2])
    assert len(after) > len(whole) - 4 * 5_100


def test_a_file_that_is_not_what_its_index_says_is_a_fault(tmp_path):
    (path,) = written(tmp_path)
    path.write_bytes(gzip.compress(b"".join(LINES[:-1])))
    assert wrong(path) == ["damaged"]


def test_text_without_compression_and_nothing_at_all_are_read(tmp_path):
    plain, empty = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    plain.write_bytes(b"".join(LINES))
    empty.write_bytes(b"")
    assert text(plain) == (b"".join(LINES), [])
    assert text(empty) == (b"", [])
    assert (first_stamp(plain), first_stamp(empty)) == (SECOND, 0)


def test_a_folder_a_pattern_and_a_file_name_a_recording(tmp_path):
    for name in ("a-2.gz", "a-1.gz", "b-1.jsonl", "notes.md", INDEX):
        (tmp_path / name).write_bytes(b"")
    assert [each.name for each in found(str(tmp_path))] == ["a-1.gz", "a-2.gz", "b-1.jsonl"]
    assert [each.name for each in found(str(tmp_path / "a-*.gz"))] == ["a-1.gz", "a-2.gz"]
    assert [each.name for each in found(str(tmp_path / "a-1.gz"))] == ["a-1.gz"]
    for nothing in ("c-*.gz", "c.gz"):
        with pytest.raises(NotFoundError, match="no file was found"):
            found(str(tmp_path / nothing))


def test_a_recorder_never_writes_over_another_and_takes_no_newline(tmp_path):
    written(tmp_path, LINES[:1])
    with pytest.raises(DataError, match="is there already"):
        written(tmp_path, LINES[:1])
    with pytest.raises(DataError, match="newline"):
        Writer(tmp_path, "y").write(1, b"{\n}")
