"""How fast recordings play, beside hftbacktest, and what becomes of a spoiled one.

`python bench/recorded.py [FILE] [--name BTCUSDT] [--tick 0.1] [--peer] [--spoiled LINES]`

Without a FILE a pretended venue writes one. `--peer` converts and replays the same file with hftbacktest, in
an environment of its own (Binance futures only). `--spoiled` plays so many lines, in segments, with
disconnects, gaps, duplicates, changes out of order and garbage at known places, and exits with 1 unless each
was found, the book was the venue's after every snapshot, and memory stayed flat. Seconds are of CPU time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "peers"), str(HERE)]

import numpy as np  # noqa: E402
from nexus_recording import Recording, Writer, pieces  # noqa: E402
from nexus_recording.rehearsal import USD_M, Venue  # noqa: E402

from nexus_core import compile  # noqa: E402
from nexus_core.market.book import book, depth  # noqa: E402
from nexus_core.market.events import EVENT  # noqa: E402

RUNS, ROUND, MEGA = 5, 1_000, 1e6
FLAT = 500.0
"""Kilobytes of memory that a million lines may add."""

_REPLAY = """
def entry(events, states):
    state = states[0]
    for i in range(events.size):
        push(state, events[i])
"""

_TOUCH = """
def entry(data):
    total = 0
    for i in range(data.size):
        total = (total ^ int(data[i])) * 31
    return total
"""


def best(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the least CPU seconds of some runs, and what the last one gave."""
    least, given = float("inf"), None
    for _ in range(RUNS):
        begun = time.process_time()
        given = run()
        least = min(least, time.process_time() - begun)
    return least, given


def replayed(path: str, name: str) -> tuple[int, Any]:
    recording, states, count = Recording(path, [name]), np.array([book()]), 0
    replay = compile.entry("replay", _REPLAY, {"push": depth.push})
    for events in recording.events():
        replay(events, states)
        count += len(events)
    return count, recording


def speed(path: str, name: str, peer: bool, tick: float) -> None:
    """Print what each part of playing a recording costs."""
    text = b"".join(pieces(Path(path), []))
    size, data = len(text) / MEGA, np.frombuffer(text, np.int8)
    touch = compile.entry("touch", _TOUCH, {})
    replayed(path, name)
    touch(data)
    parts = [data.tobytes()[k : k + 2**18] for k in range(0, len(text), 2**18)]

    def decode() -> int:
        decoder = Recording(path, [name]).decoder
        begun = time.process_time()
        for part in parts:
            decoder.decode(part, [])
        taken.append(time.process_time() - begun)
        return int(decoder.reader[0]["seq"])

    taken: list[float] = []
    floor, _ = best(lambda: touch(data))
    unpack, _ = best(lambda: sum(map(len, pieces(Path(path), []))))
    _, events = best(decode)
    whole, (_, recording) = best(lambda: replayed(path, name))
    print(f"{path}: {size:.1f} MB of JSON, {int(recording.decoder.reader[0]['total']):,} messages")
    for what, seconds in (
        ("touch every byte once", floor),
        ("gunzip", unpack),
        ("parse, keep in step", min(taken)),
        ("all, with clock and book", whole),
    ):
        print(
            f"{what:26} {seconds:7.3f} s {size / seconds:8.0f} MB/s {events / seconds / MEGA:8.2f} M events/s"
        )
    if peer:
        beside(path, tick, whole, events)


def beside(path: str, tick: float, seconds: float, events: int) -> None:
    """Print how long hftbacktest takes to convert and replay the same file."""
    import compare

    theirs = compare.Peer("hftbacktest", "on_hftbacktest.py", "hftbacktest", ("hftbacktest==2.4.4",), 0)
    python = compare.installed(theirs)
    command = [python, HERE / "peers" / theirs.script, path, str(tick)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | compare.ONE_THREAD, check=False
    )
    if done.returncode:
        sys.exit(f"hftbacktest: {(done.stderr.strip() or 'no output').splitlines()[-1]}")
    said = json.loads(done.stdout.splitlines()[-1])
    both = said["convert"] + said["replay"]
    parts = f"converts in {said['convert']:.3f} s, replays in {said['replay']:.3f} s"
    print(f"hftbacktest {said['version']}: {parts}")
    print(
        f"{said['events']:,} of its events, {said['events'] / both / MEGA:.2f} M/s; {events:,} of ours, "
        f"{events / seconds / MEGA:.2f} M/s; its time is {both / seconds:.1f} times ours"
    )


def spoil(lines: list[bytes], pick: random.Random, done: Counter[str]) -> list[bytes]:
    """Do one thing to the middle of a round, well before its snapshot, and count it."""
    changes = [k for k, line in enumerate(lines) if b"depthUpdate" in line and 200 < k < 500]
    at, what = pick.choice(changes[:-2]), pick.choice(("gap", "disconnect", "twice", "order", "garbage"))
    done[what] += 1
    if what == "gap":
        return lines[:at] + lines[at + 1 :]
    if what == "disconnect":
        done["missing"] += sum(b'"trade"' in line for line in lines[at : at + 60])
        return lines[:at] + lines[at + 60 :]
    if what == "twice":
        return lines[: at + 1] + lines[at:]
    if what == "order":
        other = changes[changes.index(at) + 1]
        lines[at], lines[other] = lines[other], lines[at]
        return lines
    return [*lines[:at], pick.choice((b"junk\n", lines[at][: len(lines[at]) // 2] + b"\n")), *lines[at:]]


def play(folder: Path, tops: dict[int, Any], memory: list[tuple[int, int]]) -> tuple[Any, Any, int, int]:
    """Play a folder: the recording, seconds of reading and of the book, books compared and those wrong."""
    replay = compile.entry("replay", _REPLAY, {"push": depth.push})
    recording, states, checked, wrong = Recording(str(folder), ["BTCUSDT"]), np.array([book()]), 0, 0
    replay(np.zeros(0, EVENT), states)
    begun, following = time.process_time(), 0.0
    for events in recording.events():
        before = time.process_time()
        replay(events, states)
        following += time.process_time() - before
        state = states[0]
        if state["known"] and int(state["last_id"]) in tops:
            checked += 1
            top = tuple(float(state[name]) for name in ("bid", "bid_size", "ask", "ask_size"))
            wrong += top != tops[int(state["last_id"])]
        memory.append((int(recording.decoder.reader[0]["total"]), resident()))
    return recording, (time.process_time() - begun - following, following), checked, wrong


def spoiled(total: int, folder: Path) -> bool:
    """Write a spoiled recording, play it, and tell whether all was found and memory stayed flat."""
    venue, pick, done = Venue(1, USD_M), random.Random(1), Counter[str]()
    tops: dict[int, Any] = {}
    lines = local = 0
    with Writer(folder, "spoiled", size=2**24) as writer:
        for number in range(total // ROUND):
            made = spoil(list(venue.lines(ROUND, snapshots=(5, 700) if number == 0 else (700,))), pick, done)
            for line in made:
                stamp, _, message = line.rstrip(b"\n").partition(b" ")
                # a line that is no line of ours is written at the time of the one before
                local = int(stamp) if stamp.isdigit() else local
                writer.write(local, message or stamp)
            lines += len(made)
            tops |= venue.best if number % 10 == 0 else {}
            venue.best.clear()
    play(folder, tops, [])  # what is allocated once is there afterwards
    memory: list[tuple[int, int]] = []
    recording, seconds, checked, wrong = play(folder, tops, memory)
    summary = recording.summary()
    found = summary.books["BTCUSDT"]
    expected = {
        "gaps": done["gap"] + done["disconnect"] + done["order"],
        "late": done["order"],
        "duplicates": done["twice"],
        "missing": done["missing"],
    }
    said = {name: found[name] for name in expected}
    half = np.array(memory[len(memory) // 2 :], np.float64)
    slope = np.polyfit(half[:, 0] / MEGA, half[:, 1], 1)[0]
    print(f"{lines:,} lines read in {seconds[0]:.2f} s, book {seconds[1]:.2f} s")
    print(f"spoiled {dict(done)}; faults {summary.faults}")
    print(f"found {said}; books compared {checked:,}, wrong {wrong}; memory {half[-1, 1] / 1024:.0f} MB, "
          f"{slope:+.1f} KB a million lines")  # fmt: skip
    accounted = summary.lines == lines and summary.faults == {"garbled": done["garbage"]}
    used = found["applied"] + found["stale"] + found["duplicates"] + found["late"] + found["waiting"]
    complete = used - found["late"] == found["depth"]
    return said == expected and accounted and complete and wrong == 0 and slope < FLAT


def resident() -> int:
    """Return the memory of this process in kilobytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> int:
    """Measure what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description="Measure how recordings play.")
    parser.add_argument("file", nargs="?", help="a recording of Binance futures, compressed by gzip")
    parser.add_argument("--name", default="BTCUSDT", help="the venue's name of the symbol")
    parser.add_argument("--tick", type=float, default=0.1, help="step of prices, for hftbacktest")
    parser.add_argument("--peer", action="store_true", help="measure hftbacktest too")
    parser.add_argument("--spoiled", type=int, default=0, help="lines of a spoiled recording to play")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.spoiled:
            return 0 if spoiled(given.spoiled, Path(folder)) else 1
        path = given.file
        if path is None:
            path = str(Path(folder) / "rehearsal.jsonl.gz")
            Path(path).write_bytes(gzip.compress(b"".join(Venue(1, USD_M).lines(60_000))))
        speed(path, given.name, given.peer, given.tick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
