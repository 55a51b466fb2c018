import gzip
import json

import numpy as np
import pytest
from nexus_recording import Decoder, Recording
from nexus_recording.rehearsal import USD_M, Venue

from nexus_core.errors import ConfigError

BEHIND = -1_270_000_000  # ns


def saved(path, lines):
    path.write_bytes(gzip.compress(b"".join(lines)))
    return str(path)


def played(*arguments, **rules):
    recording = Recording(*arguments, ["BTCUSDT"], **rules)
    parts = list(recording.events())
    return recording, np.concatenate(parts) if parts else None


def test_day_two_is_played_after_day_one_and_goes_on_with_its_book(tmp_path):
    lines = list(Venue(1, USD_M, ahead=BEHIND).lines(800))
    saved(tmp_path / "b.gz", lines[:500])
    saved(tmp_path / "a.gz", lines[500:])
    saved(tmp_path / "whole.txt", lines)
    recording, events = played(str(tmp_path / "?.gz"))
    _, expected = played(str(tmp_path / "whole.txt"))
    assert events.tobytes() == expected.tobytes()
    assert [each.name for each in recording.files] == ["b.gz", "a.gz"]
    book = recording.summary().books["BTCUSDT"]
    assert (book["book"], book["gaps"], recording.faults) == ("synced", 0, [])
    alone, _ = played(str(tmp_path / "a.gz"))
    assert alone.summary().books["BTCUSDT"]["book"] == "unsynced"
    assert "BTCUSDT: unsynced, waiting" in str(alone.summary())


def test_a_hole_between_files_and_an_overlap_are_faults(tmp_path):
    venue = Venue(2)
    lines = list(venue.lines(200))
    venue._now += 11_000
    later = list(venue.lines(200, snapshots=(150,)))
    saved(tmp_path / "1.gz", lines[:100])
    saved(tmp_path / "2.gz", later[20:])
    recording, _ = played(str(tmp_path))
    assert [each.kind for each in recording.faults] == ["hole"]
    assert " s after the file before" in recording.faults[0].reason
    assert recording.summary().books["BTCUSDT"]["gaps"] == 1
    assert recording.summary().silence > 11
    saved(tmp_path / "2.gz", lines[90:200])
    recording, _ = played(str(tmp_path))
    assert [each.kind for each in recording.faults] == ["overlap"]
    assert recording.summary().books["BTCUSDT"]["gaps"] == 0


def test_the_clock_is_set_so_that_the_quickest_message_took_the_base(tmp_path):
    lines = list(Venue(3, USD_M, ahead=BEHIND).lines(500))
    path = saved(tmp_path / "x.gz", lines)
    apart = [
        int(stamp) - json.loads(rest)["data"]["E"] * 10**6
        for stamp, _, rest in (each.partition(b" ") for each in lines)
        if b'"data"' in rest
    ]
    for base in (0, 2_000_000):
        recording, events = played(path, base=base)
        summary = recording.summary()
        assert summary.offset == base - min(apart)
        assert summary.latency["least"] == base / 1e6
        late = np.quantile([each + summary.offset for each in apart], 0.5) / 1e6
        assert summary.latency["50.0%"] == pytest.approx(late, rel=0.07)
        assert events["local"][0] == int(lines[0].partition(b" ")[0]) + summary.offset
    fixed, _ = played(path, clock="1270000000")
    assert fixed.summary().offset == 1_270_000_000
    assert 0.5 <= fixed.summary().latency["least"] < 1.0


def test_a_clock_that_is_far_off_is_told(tmp_path):
    path = saved(tmp_path / "x.gz", Venue(4, USD_M, ahead=-5 * 3600 * 10**9).lines(20, snapshots=()))
    recording, events = played(path, clock=0)
    assert events is None
    assert recording.summary().faults == {"clock": 20}
    assert not played(path)[0].faults
    with pytest.raises(ConfigError, match="clock was 'soon'"):
        Recording(path, ["BTCUSDT"], clock="soon")
    with pytest.raises(ConfigError, match="base was -1"):
        Recording(path, ["BTCUSDT"], base=-1)


def test_what_cannot_be_used_is_kept_as_it_was(tmp_path):
    lines = list(Venue(5).lines(50))
    long = b"7 {" + b"x" * 500
    path = saved(tmp_path / "x.gz", [*lines[:20], b"junk\n", *lines[20:], long])
    recording, _ = played(path, quarantine=tmp_path / "bad.txt")
    assert (tmp_path / "bad.txt").read_bytes() == b"junk\n" + long + b"\n"
    assert [(each.line, len(each.text)) for each in recording.faults] == [(21, 4), (len(lines) + 2, 200)]
    assert recording.summary().lines == len(lines) + 2


def test_a_quarantine_that_cannot_be_written_is_one_clear_error(tmp_path):
    path = saved(tmp_path / "x.gz", [*Venue(5).lines(20), b"junk\n"])
    with pytest.raises(ConfigError, match=r"quarantine \S+bad.txt cannot be written \(No such file"):
        played(path, quarantine=tmp_path / "none" / "bad.txt")


def test_bytes_on_both_sides_of_damage_are_not_one_line(tmp_path):
    one, other = list(Venue(6).lines(2, snapshots=()))
    text = b"".join(Venue(6).lines(300))
    whole = gzip.compress(text[:-30])
    path = tmp_path / "x.gz"
    path.write_bytes(whole[:-8] + b"\0" * 8 + gzip.compress(one + other))  # its check sum is wrong
    recording, _ = played(str(path))
    assert [each.kind for each in recording.faults] == ["damaged", "garbled"]
    assert recording.faults[1].text == text[:-30].splitlines()[-1]
    assert recording.summary().lines == text.count(b"\n") + 2


def test_an_empty_file_is_a_fault(tmp_path):
    saved(tmp_path / "a.gz", [])
    saved(tmp_path / "b.gz", Venue(7).lines(20))
    recording, events = played(str(tmp_path))
    assert [each.kind for each in recording.faults] == ["empty"]
    assert len(events) > 20


def test_the_summary_says_what_there_was(tmp_path):
    path = saved(tmp_path / "x.gz", [*Venue(8, USD_M).lines(300), b'1767225600000000000 {"e":"kline"}\n'])
    recording, events = played(path)
    summary = recording.summary()
    direct = Decoder(["BTCUSDT"])
    direct.decode(b"".join(Venue(8, USD_M).lines(300)), [])
    assert summary.events == len(events)
    assert sum(summary.messages.values()) == 301 == summary.lines - 1
    assert summary.messages["depth"] == summary.books["BTCUSDT"]["depth"] == direct.counts[1]
    assert summary.unknown == {"kline": 1}
    for part in ("302 lines of 1 files", "BTCUSDT: synced", "unknown: kline 1", "latency, ms: least 0.0"):
        assert part in str(summary)
