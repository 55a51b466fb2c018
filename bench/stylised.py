"""Show what the market of order flow has of a real one: its stylised facts, beside real series if given.

    python bench/stylised.py --days 10 --out docs/pictures/stylised.png [FILE ...]

A FILE is a Parquet of bars (`ts open high low close volume`), one of trades (`ts price size side`), or a
recording of Binance streams (`.jsonl.gz`: a line is a time and a message). Prints a table, draws a picture.
"""

from __future__ import annotations

import argparse
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MINUTE = 60 * 10**9
FACTS = (
    "kurtosis", "hill", "echo r 1", "echo r 2-10", "echo |r| 1", "echo |r| 10", "echo |r| 60", "echo |r| 240",
    "sign 1", "sign 10", "sign 100", "size tail", "spread bp", "spread/move", "trades/min",
)  # fmt: skip


@dataclass
class Series:
    """What is known of a market. Empty arrays say nothing."""

    name: str
    bars: tuple[np.ndarray, np.ndarray] = (np.zeros(0, np.int64), np.zeros(0))  # ts, close a minute
    trades: tuple[np.ndarray, ...] = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0))
    quotes: tuple[np.ndarray, ...] = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))  # ts, bid, ask
    depth: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))  # distance in bp, mean size
    facts: dict[str, float] = field(default_factory=dict)


def echo(x, lags):
    """Autocorrelations."""
    x = x - x.mean()
    total = (x * x).mean()
    return np.array([(x[:-lag] * x[lag:]).mean() / total if len(x) > 2 * lag else np.nan for lag in lags])


def hill(x, share=0.02):
    """Tail index of |x| (Hill 1975), of its largest share."""
    largest = np.sort(np.abs(x))[::-1][: max(int(len(x) * share), 20)]
    return 1.0 / np.log(largest[:-1] / largest[-1]).mean()


def returns(series):
    """Returns of a minute, where the minute before is there too."""
    ts, close = series.bars
    near = np.diff(ts) == MINUTE
    return np.diff(np.log(close))[near]


def measure(series):
    """Work out the facts that the series lets one work out."""
    facts = series.facts
    if len(series.bars[0]) > 300:
        r = returns(series)
        z = (r - r.mean()) / r.std()
        facts["kurtosis"], facts["hill"] = (z**4).mean(), hill(r)
        facts["echo r 1"] = echo(r, [1])[0]
        facts["echo r 2-10"] = np.abs(echo(r, range(2, 11))).max()
        for lag in (1, 10, 60, 240):
            facts[f"echo |r| {lag}"] = echo(np.abs(r), [lag])[0]
    if len(series.trades[0]) > 500:
        ts, _, size, side = series.trades
        if np.abs(side).sum():
            for lag in (1, 10, 100):
                facts[f"sign {lag}"] = echo(side.astype(float), [lag])[0]
        facts["size tail"] = hill(size)
        facts["trades/min"] = len(ts) / ((ts[-1] - ts[0]) / MINUTE)
    if len(series.quotes[0]) > 100:
        ts, bid, ask = series.quotes
        weight = np.diff(ts, append=ts[-1])
        mid = (bid + ask) / 2
        facts["spread bp"] = 1e4 * ((ask - bid) / mid * weight).sum() / weight.sum()
        at = np.searchsorted(ts, np.arange(ts[0], ts[-1], MINUTE), "right") - 1
        moves = np.diff(np.log(mid[at]))
        if len(moves) > 3:
            facts["spread/move"] = facts["spread bp"] / (1e4 * moves.std())
    return series


def impact(series, seconds=5.0):
    """Mean move of the mid over some seconds after a trade, by its size over the mean; in bp, signed."""
    ts, _, size, side = series.trades
    qts, bid, ask = series.quotes
    if not len(qts) or len(ts) < 50_000:  # fewer show nothing but noise
        return np.zeros(0), np.zeros(0)
    mid = np.log((bid + ask) / 2)
    before = np.searchsorted(qts, ts, "left") - 1
    after = np.searchsorted(qts, ts + int(seconds * 1e9), "right") - 1
    good = (before >= 0) & (ts + int(seconds * 1e9) <= qts[-1])
    move = (side * (mid[after] - mid[before]))[good] * 1e4
    relative = (size / size.mean())[good]
    edges = np.geomspace(0.02, 20, 13)
    part = np.digitize(relative, edges)
    kept = [k for k in range(1, len(edges)) if (part == k).sum() >= 100]
    return np.array([relative[part == k].mean() for k in kept]), np.array(
        [move[part == k].mean() for k in kept]
    )


# -- the synthetic market ---------------------------------------------------------------------------


def synthetic(seed, days, symbol=0):
    """Let the market of order flow live, and keep what is looked at."""
    from nexus_synthetic.flow import Flow

    flow = Flow(seed, symbol + 1)
    trades, quotes, depth, hours = [], [], [], 24 * days
    for hour in range(int(hours)):
        events, starts = flow.take(60)
        own = events[starts[symbol] : starts[symbol + 1]]
        trades.append(own[own["kind"] == 1][["ts", "price", "size", "side", "id"]])
        best = own[own["kind"] == 2]
        quotes.append((best["ts"][::2], best["price"][::2], best["price"][1::2]))
        if hour % 4 == 3:
            depth.append(_book_of(flow, symbol))
    made = np.concatenate(trades)
    quote = tuple(np.concatenate(column) for column in zip(*quotes, strict=True))
    # pieces of one order come at one instant
    first = np.flatnonzero(np.diff(made["ts"], prepend=0))
    size = np.add.reduceat(made["size"], first)
    ts = quote[0]
    grid = np.arange(ts[0] // MINUTE * MINUTE + MINUTE, ts[-1], MINUTE)
    close = made["price"][np.searchsorted(made["ts"], grid, "right") - 1]
    bins, sizes = np.arange(0.0, 40.0, 1.0), np.mean(depth, axis=0)
    return Series(
        f"flow {seed}", (grid, close), (made["ts"][first], made["price"][first], size, made["side"][first]),
        quote, (bins, sizes),
    )  # fmt: skip


def _book_of(flow, symbol):
    """Size by distance from the touch in bins of one bp, both sides together."""
    events, starts = flow.snapshot()
    own = events[starts[symbol] : starts[symbol + 1]]
    sizes = np.zeros(40)
    for side, best in ((1, np.max), (-1, np.min)):
        level = own[(own["kind"] == 3) & (own["side"] == side)]
        away = (np.abs(level["price"] / best(level["price"]) - 1.0) * 1e4).astype(int)
        sizes += np.bincount(away[away < 40], level["size"][away < 40], 40)
    return sizes


# -- real markets -----------------------------------------------------------------------------------


def read(path, share):
    """Read the first share, by time, of a file of bars, of trades, or of a recording."""
    if path.name.endswith(".jsonl.gz"):
        return recording(path, share)
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = {name: table[name].to_numpy() for name in table.column_names}
    ts = column["ts"]
    early = ts <= ts[0] + share * (ts[-1] - ts[0])
    column = {name: values[early] for name, values in column.items()}
    name = "-".join(path.stem.split("-")[:3])
    if "close" in column:
        return Series(name, (column["ts"], column["close"]))
    side = column.get("side", np.zeros(len(column["ts"])))
    if side.dtype == object:
        side = np.where(side == "buy", 1, np.where(side == "sell", -1, 0))
    return Series(name, trades=(column["ts"], column["price"], column["size"], side))


def recording(path, share):
    """Read trades, quotes and the book from the first share of a recording of Binance streams."""
    with gzip.open(path, "rt") as lines:
        stamps = [int(line.split(" ", 1)[0]) for line in lines]
    until = stamps[0] + share * (stamps[-1] - stamps[0])
    trades, quotes, depth, book, levels = [], [], [], ({}, {}), 0
    with gzip.open(path, "rt") as lines:
        for line in lines:
            ts, message = line.split(" ", 1)
            if int(ts) > until:
                break
            data = json.loads(message).get("data") or json.loads(message)
            kind = data.get(
                "e", "bookTicker" if "B" in data else "snapshot" if "lastUpdateId" in data else ""
            )
            if kind == "trade":
                if data.get("X", "MARKET") == "MARKET":
                    side = -1 if data["m"] else 1
                    trades.append((int(ts), data["T"], float(data["p"]), float(data["q"]), side))
            elif kind == "bookTicker":
                quotes.append((int(ts), float(data["b"]), float(data["a"])))
            elif kind in ("depthUpdate", "snapshot"):
                for side, names in zip(book, (("b", "bids"), ("a", "asks")), strict=True):
                    for price, size in data.get(names[0]) or data.get(names[1]) or ():
                        side[float(price)] = float(size)
                levels += 1
                if levels % 50 == 0 and levels > 500:
                    depth.append(_depth_of(book))
    made = np.array(trades, [("ts", "i8"), ("T", "i8"), ("p", "f8"), ("q", "f8"), ("s", "f8")])
    made = made[made["p"] > 0]
    quote = np.array(quotes, [("ts", "i8"), ("b", "f8"), ("a", "f8")])
    # pieces of one order have one time at the venue, and one side
    first = np.flatnonzero((np.diff(made["T"], prepend=0) != 0) | (np.diff(made["s"], prepend=0) != 0))
    size = np.add.reduceat(made["q"], first)
    name = "-".join(path.name.split("-")[:3])
    return Series(
        name, trades=(made["ts"][first], made["p"][first], size, made["s"][first]),
        quotes=(quote["ts"], quote["b"], quote["a"]),
        depth=(np.arange(0.0, 40.0, 1.0), np.mean(depth, axis=0)),
    )  # fmt: skip


def _depth_of(book):
    sizes = np.zeros(40)
    for side, step in zip(book, (-1, 1), strict=True):
        prices = [price for price, size in side.items() if size > 0]
        if not prices:
            continue
        best = max(prices) if step < 0 else min(prices)
        for price in prices:
            at = int(abs(price / best - 1.0) * 1e4)
            if at < 40:
                sizes[at] += side[price]
    return sizes


def table(all_series):
    """The facts, a line a series."""
    lines = ["".join(["series".ljust(26), *(name.rjust(13) for name in FACTS)])]
    for series in all_series:
        cells = (f"{series.facts[name]:13.3f}" if name in series.facts else " " * 12 + "-" for name in FACTS)
        lines.append("".join([series.name[:26].ljust(26), *cells]))
    return "\n".join(lines)


def main():
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--share", type=float, default=0.6, help="how much of each file, by time")
    parser.add_argument("--out", type=Path)
    parser.add_argument("files", type=Path, nargs="*")
    given = parser.parse_args()
    made = [measure(synthetic(seed, given.days)) for seed in given.seeds]
    made += [measure(read(path, given.share)) for path in given.files]
    print(table(made))
    if given.out:
        from stylised_picture import draw

        draw(made, given.out)


if __name__ == "__main__":
    main()
