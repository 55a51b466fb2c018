"""Nexus beside other backtesters on the same bars: `python bench/peers/compare.py [--quick]`.

Long or flat on the cross of EMA(10) and EMA(30) of the close, one unit a trade at the next bar's open,
0.1 % a fill. Each peer runs in an environment of its own under `.envs`, in a process of its own, with one
thread. vectorbt and backtesting.py must give Nexus's fills, row by row, and its final equity to the cent;
exit 1 says that one did not. A peer that cannot be installed is named and passed over.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
import speed  # noqa: E402
from measured import CASH, FAST, FEE, FILL, SLOW, best  # noqa: E402

from nexus_core import __version__  # noqa: E402
from nexus_core.ledger.orders import FILL as FILL_EVENT  # noqa: E402
from nexus_core.market.blocks import Chunk  # noqa: E402
from nexus_core.records import EVENT, UNIT, empty  # noqa: E402

BARS = np.dtype([(name, "f8") for name in ("open", "high", "low", "close", "volume")] + [("ts", "i8")])
SETTLED = "2026-11-20"
"""What the peers themselves depend on is taken as it stood on this day."""
ONE_THREAD = {f"{each}_NUM_THREADS": "1" for each in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")}
ONE_THREAD["POLARS_MAX_THREADS"] = "1"
HEAD = """\
| backtester | version | bars | million bars/CPU s | wall s | fills | less Nexus | final equity | less Nexus |
|---|---|--:|--:|--:|--:|--:|--:|--:|"""


class Peer(NamedTuple):
    """Another backtester: its script, its environment, and how much of the bars it is given."""

    name: str
    script: str
    environment: str
    packages: tuple[str, ...]
    most: int
    same_rules: bool = True
    python: tuple[int, int] = (3, 11)
    engine: tuple[str, ...] = ()


VECTORBT = ("on_vectorbt.py", "vectorbt", ("vectorbt[rust]==1.2.0",))
NAUTILUS = ("nautilus_trader==2.0.0rc6", "numpy==2.4.6")
PEERS = (
    Peer("vectorbt, Rust", *VECTORBT, 1_000_000, engine=("rust",)),
    Peer("vectorbt, Numba", *VECTORBT, 1_000_000, engine=("numba",)),
    Peer("backtesting.py", "on_backtesting.py", "backtesting", ("backtesting==0.6.6",), 1_000_000),
    Peer("NautilusTrader", "on_nautilus.py", "nautilus", NAUTILUS, 200_000, same_rules=False, python=(3, 12)),
)


class Result(NamedTuple):
    """What came of one run: CPU and wall seconds, the fills, and the equity at the last close."""

    version: str
    cpu: float
    wall: float
    fills: Any
    equity: float


class UnavailableError(Exception):
    """A peer cannot be had on this machine."""


class FailedError(Exception):
    """A peer's script ended with an error."""


def main() -> int:
    """Print the table and what differed; return the exit code."""
    parser = argparse.ArgumentParser(description="Measure Nexus beside other backtesters on the same bars.")
    parser.add_argument("--quick", action="store_true", help="200,000 bars instead of 1,000,000")
    total = 200_000 if parser.parse_args().quick else 1_000_000
    bars = _bars(total)
    mine = {count: nexus(count) for count in sorted({min(total, peer.most) for peer in PEERS}, reverse=True)}
    print(HEAD)
    for count, result in mine.items():
        _show("Nexus", count, result, result)
    remarks: list[str] = []
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "bars.npy", bars)
        for peer in PEERS:
            count = min(total, peer.most)
            try:
                result = measure(peer, installed(peer), Path(folder), count)
            except (UnavailableError, FailedError) as reason:
                remarks.append(f"{peer.name}: not measured: {reason}")
                wrong |= isinstance(reason, FailedError)
                continue
            _show(peer.name, count, result, mine[count])
            expected = mine[count] if peer.same_rules else late(bars[:count])
            difference = differs(expected, result)
            whom = "Nexus" if peer.same_rules else "a plain loop with its own rules (see docs/benchmarks.md)"
            remarks.append(f"{peer.name} against {whom}: {difference or 'every fill and the equity equal'}.")
            wrong |= peer.same_rules and difference is not None
    print("", *(f"- {each}" for each in remarks), sep="\n")
    return 1 if wrong else 0


def _show(name: str, count: int, result: Result, mine: Result) -> None:
    cells = (
        name, result.version, f"{count:,}", f"{count / result.cpu / 1e6:.3g}", f"{result.wall:.3f}",
        f"{len(result.fills):,}", f"{len(result.fills) - len(mine.fills):,}",
        f"{result.equity:,.2f}", f"{result.equity - mine.equity:,.2f}",
    )  # fmt: skip
    print(f"| {' | '.join(cells)} |", flush=True)


def nexus(count: int) -> Result:
    """Run Nexus over the first bars: three times for the time, and once more to collect its fills."""
    pieces = speed.bars(count)
    speed.play(speed.fresh(), speed.bars(20_000))
    cpu, wall, engine = best(speed.fresh, lambda engine: (speed.play(engine, pieces), engine)[1])
    again = speed.fresh()
    fills = np.concatenate([np.zeros(0, FILL), *_fills(again, pieces)])
    if again.ledger.run_hash != engine.ledger.run_hash:
        sys.exit(
            "Nexus: two runs over the same bars had different run hashes: report this as a fault of Nexus."
        )
    account = engine.ledger.account[0]
    return Result(__version__, cpu, wall, fills, int(account["cash"] + account["value"]) / UNIT)


def _fills(engine: Any, pieces: list[tuple[Any, Any]]) -> Iterator[Any]:
    none, before = empty(EVENT, 0), 0
    for rows, starts in pieces:
        for block in engine.blocks(Chunk(rows, starts), 4096):
            for written in engine.advance(block, none):
                events = written.events[written.events["kind"] == FILL_EVENT]
                made = np.zeros(len(events), FILL)
                made["row"] = before + np.searchsorted(rows["ts"], events["ts"])
                made["side"] = events["side"] * (events["qty"] // UNIT)
                made["price"], made["fee"] = events["price"] / UNIT, events["fee"] / UNIT
                yield made
        before += len(rows)


def _bars(count: int) -> Any:
    rows = np.concatenate([rows for rows, _ in speed.bars(count)])
    bars = np.zeros(count, BARS)
    for name in BARS.names or ():
        bars[name] = rows[name]
    return bars


def late(bars: Any) -> Result:
    """Walk the bars in plain Python by NautilusTrader's rules: the same strategy, another fill and start."""
    closes = bars["close"].tolist()
    means = [0.0, 0.0]
    cash, held, above, fills = CASH, 0, None, []
    for row, close in enumerate(closes):
        for k, span in enumerate((FAST, SLOW)):
            if row < span:
                means[k] = sum(closes[: row + 1]) / (row + 1)
            else:
                means[k] += 2.0 / (span + 1.0) * (close - means[k])
        if row < SLOW - 1:
            continue
        above, before = means[0] > means[1], above
        side = 0 if before is None or above == before else 1 if above else -1
        if side == 1 - 2 * held:
            cash -= side * close + close * FEE
            held += side
            fills.append((row, side, close, close * FEE))
    return Result("", 0.0, 0.0, np.array(fills, FILL), cash + held * closes[-1])


def differs(expected: Result, result: Result) -> str | None:
    """Return the first fill that differs, or by how much the equity does; None where all is equal."""
    both = zip(expected.fills.tolist(), result.fills.tolist(), strict=False)
    for number, (one, other) in enumerate(both, 1):
        if one[:2] != other[:2] or not np.allclose(one[2:], other[2:], rtol=0.0, atol=1e-6):
            return f"fill {number:,} was {_words(other)}, not {_words(one)}"
    if len(expected.fills) != len(result.fills):
        return f"{len(result.fills):,} fills, not {len(expected.fills):,}, the first of them equal"
    if abs(expected.equity - result.equity) >= 0.005:
        return f"every fill equal, but the equity was {result.equity:.8f}, not {expected.equity:.8f}"
    return None


def _words(fill: tuple[int, int, float, float]) -> str:
    row, side, price, fee = fill
    return f"row {row:,} {side:+d} at {price:.8f} for {fee:.8f}"


def measure(peer: Peer, python: Path, folder: Path, count: int) -> Result:
    """Run a peer's script over the first bars, in its own environment."""
    target = folder / "fills.npy"
    command = [
        python,
        "-W",
        "ignore",
        HERE / peer.script,
        folder / "bars.npy",
        str(count),
        target,
        *peer.engine,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
    if done.returncode:
        raise FailedError((done.stderr.strip() or "no output").splitlines()[-1])
    said = json.loads(done.stdout.splitlines()[-1])
    return Result(said["version"], said["cpu"], said["wall"], np.load(target), said["equity"])


def installed(peer: Peer) -> Path:
    """Return the interpreter of a peer's environment; make the environment if it is not there yet."""
    home = HERE / ".envs" / peer.environment
    python, note = home / "bin" / "python", home / "installed"
    wanted = " ".join((*peer.packages, SETTLED))
    if note.exists() and note.read_text() == wanted:
        return python
    uv = shutil.which("uv") or shutil.which("uv", path=HERE.parents[1] / ".tools" / "bin")
    if uv is None:
        raise UnavailableError("no uv was found; `make .tools/bin/uv` fetches one")
    shutil.rmtree(home, ignore_errors=True)
    _call(uv, "venv", "--quiet", "--python", _python(peer.python), home)
    _call(uv, "pip", "install", "--quiet", "--exclude-newer", SETTLED, "--python", python, *peer.packages)
    note.write_text(wanted)
    return python


def _call(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError("; ".join(line.strip() for line in done.stderr.splitlines()[:2]))


def _python(least: tuple[int, int]) -> str:
    """Return an interpreter of at least this version: this one, else one on the path or of pyenv."""
    if sys.version_info[:2] >= least:
        return sys.executable
    names = [f"3.{minor}" for minor in range(least[1], 14)]
    found = [which for name in names if (which := shutil.which(f"python{name}"))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += [str(each) for name in names for each in sorted(pyenv.glob(f"{name}.*/bin/python"))]
    for python in found:  # pyenv puts names on the path that do not run
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    raise UnavailableError(f"it needs Python {least[0]}.{least[1]} or newer, and none was found")


if __name__ == "__main__":
    sys.exit(main())
