"""Strategies in plain Python see what they were promised, and answer the same whatever the blocks."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_classic import ClassicLoop, ClassicStrategy

from nexus_core import Param, Strategy
from nexus_core.config import Quarantine
from nexus_core.errors import PluginError
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.loops import FAULT, StrategyLoop
from nexus_core.quarantine import Ward
from nexus_core.records import ABSENT, LATE, ROW, empty
from nexus_core.styles import WindowLoop, loop
from nexus_core.types import StrategyCategory

NEVER = 2**62
SYMBOLS = ["A-USD", "B-USD", "C-USD"]


def chunk_of(*times, seed=5):
    """Make a chunk in which symbol s has rows at `times[s]`, no two of the same prices."""
    rows = empty(ROW, sum(map(len, times)))
    rows["ts"] = np.concatenate([np.asarray(each, np.int64) for each in times])
    rows["symbol"] = np.repeat(np.arange(len(times)), [len(each) for each in times])
    rows["seq"] = np.arange(len(rows))
    rng = np.random.default_rng(seed)
    for field in ("open", "high", "low", "close", "volume", "bid", "ask", "bid_size", "ask_size"):
        rows[field] = rng.uniform(1.0, 9.0, len(rows))
    return Chunk(rows, np.cumsum([0, *map(len, times)]))


def with_gaps(ticks=150, symbols=3, seed=3):
    rng = np.random.default_rng(seed)
    return chunk_of(*[1 + np.flatnonzero(rng.random(ticks) < 0.8) for _ in range(symbols)])


def played(work, chunk, size):
    """Take a chunk through a loop in blocks; return signals and scores, row by row."""
    signals, scores = np.full(len(chunk.rows), 99, np.int8), np.full(len(chunk.rows), 99.0)
    for block in blocks(chunk, 0, size, lambda _: NEVER):
        work.run(block.rows, block.first, block.last, signals, scores)
    return list(zip(signals.tolist(), scores.tolist(), strict=True))


def one_symbol(work, count):
    return played(work, chunk_of(range(1, count + 1)), count)


class Plain(Strategy):
    nexus_api = 1
    category = "mean_reversion"
    warmup = 4


class Classic(ClassicStrategy):
    nexus_api = 1
    category = "mean_reversion"


def window_of(answer, warmup=0, base=Plain):
    """Make a strategy that keeps what it is shown, and answers with what a function says."""
    made = type("Made", (base,), {"warmup": warmup})
    made.shown = []

    def asked(self, data):
        self.shown.append(data)
        return answer(data)

    if base is Plain:
        made.signal = asked
        return made()
    made.execute = asked
    made.__abstractmethods__ = frozenset()
    return made()


# -- the window -------------------------------------------------------------------------------------


def mean_reverts(window):
    """A figure that changes with every row of the window, and with their order."""
    total = sum((n + 1) * float(close) for n, close in enumerate(window.close))
    return int(total * 1000) % 5 - 2, (total * 7) % 1.0


@pytest.mark.parametrize("warmup", [0, 1, 4, 33, 500])
@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_the_answers_are_those_to_the_last_rows_of_its_own_symbol(warmup, size):
    chunk = with_gaps()
    seen, expected = {0: [], 1: [], 2: []}, [None] * len(chunk.rows)
    for i in sorted(range(len(chunk.rows)), key=lambda i: (chunk.rows["ts"][i], chunk.rows["symbol"][i])):
        closes = seen[int(chunk.rows["symbol"][i])]
        closes.append(float(chunk.rows["close"][i]))
        if len(closes) <= warmup:
            expected[i] = (ABSENT, 0.0)
        else:
            total = sum((n + 1) * close for n, close in enumerate(closes[-max(warmup, 1) :]))
            expected[i] = (int(total * 1000) % 5 - 2, (total * 7) % 1.0)

    work = WindowLoop("made", window_of(mean_reverts, warmup), SYMBOLS)

    assert played(work, chunk, size) == expected
    assert work.faults() == 0


times = st.lists(st.sets(st.integers(1, 60), max_size=30).map(sorted), min_size=1, max_size=3)


@given(times.filter(any), st.integers(0, 12), st.integers(1, 70))
def test_the_window_holds_exactly_its_rows_in_their_order(given_times, warmup, size):
    chunk = chunk_of(*given_times)
    strategy = window_of(lambda window: (0, 0.0), warmup)
    work = WindowLoop("made", strategy, SYMBOLS[: len(given_times)])
    played(work, chunk, size)

    expected = []
    for ts, s in sorted((ts, s) for s, each in enumerate(given_times) for ts in each):
        rows = [(s, t) for t in given_times[s] if t <= ts]
        if len(rows) > warmup:
            expected.append(rows[-max(warmup, 1) :])
    shown = [list(zip(w.symbol.tolist(), w.ts.tolist(), strict=True)) for w in strategy.shown]
    assert shown == expected
    assert [len(w) for w in strategy.shown] == [max(warmup, 1)] * len(expected)


def test_rows_of_earlier_chunks_are_still_in_the_window():
    strategy = window_of(lambda window: (0, 0.0), 3)
    work = WindowLoop("made", strategy, SYMBOLS[:1])
    for first in (1, 3, 4, 9):
        played(work, chunk_of(range(first, {1: 3, 3: 4, 4: 9, 9: 11}[first])), 2)
    assert [w.ts.tolist() for w in strategy.shown] == [[n - 2, n - 1, n] for n in range(4, 11)]


def test_a_window_cannot_be_written_and_has_the_fields_of_a_row():
    said = []

    def scribble(window):
        for field in ROW.names:
            column = getattr(window, field)
            assert len(column) == len(window) == 4
            with pytest.raises(ValueError, match="read-only"):
                column[0] = 1
            with pytest.raises(ValueError, match="WRITEABLE"):
                column.flags.writeable = True
        with pytest.raises(AttributeError, match="a market row has no clse"):
            _ = window.clse
        said.append(True)
        return 0, 0.0

    work = WindowLoop("made", window_of(scribble, 4), SYMBOLS[:1])
    assert [s for s, _ in one_symbol(work, 6)] == [ABSENT] * 4 + [0, 0]
    assert said == [True, True]


def test_what_is_kept_of_a_window_does_not_change_later():
    strategy = window_of(lambda window: (0, 0.0), 3)
    work = WindowLoop("made", strategy, SYMBOLS[:1])
    chunk = chunk_of(range(1, 30))
    played(work, chunk, 5)
    wanted = [chunk.rows["close"][n - 3 : n].tolist() for n in range(4, 30)]
    chunk.rows["close"] = -1.0
    assert [w.close.tolist() for w in strategy.shown] == wanted


def test_a_saved_state_goes_on_with_the_same_windows():
    chunk = with_gaps()
    straight = played(WindowLoop("made", window_of(mean_reverts, 9), SYMBOLS), chunk, 8)
    signals, scores = np.zeros(len(chunk.rows), np.int8), np.zeros(len(chunk.rows))
    raw = None
    for block in blocks(chunk, 0, 8, lambda _: NEVER):  # a new loop for each block
        work = WindowLoop("made", window_of(mean_reverts, 9), SYMBOLS)
        if raw is not None:
            work.states[:] = np.frombuffer(raw, work.states.dtype)
        work.run(block.rows, block.first, block.last, signals, scores)
        raw = work.states.tobytes()
    assert list(zip(signals.tolist(), scores.tolist(), strict=True)) == straight


def test_after_a_reset_it_warms_up_anew():
    work = WindowLoop("made", window_of(lambda window: (1, 0.5), 3), SYMBOLS[:1])
    assert [s for s, _ in one_symbol(work, 5)] == [ABSENT] * 3 + [1, 1]
    work.reset()
    assert [s for s, _ in one_symbol(work, 4)] == [ABSENT] * 3 + [1]


# -- answers ----------------------------------------------------------------------------------------


def raises(error):
    def answer(_):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ((-2, 0.0), (-2, 0.0)),
        ((1, 1.0), (1, 1.0)),
        ([2, 1], (2, 1.0)),
        ((np.int8(-1), np.float32(0.5)), (-1, 0.5)),
        ((np.array([3.0, -1.0])[1], np.array(0.25)), (-1, 0.25)),
        ((True, 0.5), (1, 0.5)),
        ((-0.0, 5e-324), (0, 5e-324)),
    ],
)
def test_an_answer_within_the_contract_is_taken(answer, read):
    assert one_symbol(WindowLoop("made", window_of(lambda _: answer), SYMBOLS[:1]), 1) == [read]


WRONG = [
    (math.nan, 0.5),
    (1, math.nan),
    (1, 1.01),
    (1, -5e-324),
    (1, math.inf),
    (3, 0.5),
    (1.5, 0.5),
    (math.inf, 0.5),
    (1,),
    (1, 0.5, 0.5),
    ("buy", 0.5),
    (1, None),
    (None, 0.5),
    (1j, 0.5),
    1,
    None,
    "buy",
    {},
    object(),
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_an_answer_outside_the_contract_is_a_fault_and_no_more(wrong):
    answers = iter([(1, 0.5), wrong, (-1, 0.25)])
    work = WindowLoop("made", window_of(lambda _: next(answers)), SYMBOLS[:1])
    assert one_symbol(work, 3) == [(1, 0.5), (FAULT, 0.0), (-1, 0.25)]
    assert work.faults() == 1


ERRORS = [
    ValueError("no"),
    ZeroDivisionError(),
    KeyError("x"),
    StopIteration(),
    RecursionError(),
    MemoryError(),
    TimeoutError("a line was slow"),
    AssertionError(),
    PluginError("own"),
]


@pytest.mark.parametrize("base", [Plain, Classic])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_it_raises_is_a_fault_and_no_more(base, error):
    work = loop("made", window_of(raises(error), 0, base), SYMBOLS[:2])
    assert played(work, chunk_of([1, 2], [2]), 2) == [(FAULT, 0.0)] * 3
    assert work.faults() == 3
    assert work.error is error
    assert work.overran == []  # nothing watches over how long it takes


# -- classic ----------------------------------------------------------------------------------------


def said(signal, confidence=0.5):
    return {"signal": signal, "confidence": confidence}


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (None, (0, 0.0)),
        (said(1.7), (1, 0.5)),
        (said(-2.5), (-2, 0.5)),
        (said(2), (2, 0.5)),
        (said(0.999, 1), (0, 1.0)),
        (said(-1.0, 0.0), (-1, 0.0)),
        (said(-1.999), (-1, 0.5)),
        (said(np.float32(1.5), np.float64(0.25)), (1, 0.25)),
        ({"signal": 1, "confidence": 0.5, "metadata": {"why": "so"}}, (1, 0.5)),
    ],
)
def test_the_strongest_signal_a_classic_answer_reaches_counts(answer, read):
    assert one_symbol(loop("made", window_of(lambda _: answer, 0, Classic), SYMBOLS[:1]), 1) == [read]


@pytest.mark.parametrize(
    "wrong",
    [
        said(math.nan),
        said(1, math.nan),
        said(1, 1.01),
        said(1, -0.01),
        {"signal": 1},
        {"confidence": 0.5},
        {},
        said(None),
        said("buy"),
        said([1]),
        said(1, None),
        (1, 0.5),
        1.0,
        "buy",
    ],
    ids=repr,
)
def test_a_wrong_classic_answer_is_a_fault_and_no_more(wrong):
    answers = iter([said(1), wrong, said(-1)])
    work = loop("made", window_of(lambda _: next(answers), 0, Classic), SYMBOLS[:1])
    assert one_symbol(work, 3) == [(1, 0.5), (FAULT, 0.0), (-1, 0.5)]
    assert work.faults() == 1


def test_a_classic_strategy_is_told_twelve_fields_of_plain_types():
    strategy = window_of(lambda _: None, 2, Classic)
    chunk = chunk_of([60, 120], [60])
    chunk.rows["bid"][0] = chunk.rows["ask"][0] = chunk.rows["ask"][1] = math.nan
    played(loop("made", strategy, SYMBOLS[:2]), chunk, 8)

    kinds = dict.fromkeys(
        ("open", "high", "low", "close", "volume", "bid", "ask", "bid_size", "ask_size"), float
    )
    kinds |= {"symbol": str, "timestamp": int, "sequence_num": int}
    assert [{name: type(value) for name, value in data.items()} for data in strategy.shown] == [kinds] * 3
    first, second, third = strategy.shown
    assert [(each["symbol"], each["timestamp"], each["sequence_num"]) for each in strategy.shown] == [
        ("A-USD", 60, 0),
        ("B-USD", 60, 2),
        ("A-USD", 120, 1),
    ]
    assert first["bid"] == first["ask"] == first["close"] == chunk.rows["close"][0]
    assert (second["bid"], second["ask"]) == tuple(chunk.rows[["bid", "ask"]][2])
    assert (third["bid"], third["ask"]) == (chunk.rows["bid"][1], chunk.rows["close"][1])
    assert all(third[name] == chunk.rows[name][1] for name in ("open", "high", "low", "volume", "bid_size"))


def test_a_classic_strategy_sees_the_rows_of_its_warmup_and_is_absent_in_them():
    strategy = window_of(lambda data: said(2, data["sequence_num"] / 10), 3, Classic)
    work = loop("made", strategy, SYMBOLS[:1])
    assert one_symbol(work, 5) == [(ABSENT, 0.0)] * 3 + [(2, 0.3), (2, 0.4)]
    assert [data["timestamp"] for data in strategy.shown] == [1, 2, 3, 4, 5]


def test_what_a_classic_strategy_answers_in_its_warmup_is_not_read_but_raising_is_a_fault():
    answers = iter([{}, "soon", said(math.nan), said(1)])
    work = loop("made", window_of(lambda _: next(answers), 3, Classic), SYMBOLS[:1])
    assert one_symbol(work, 4) == [(ABSENT, 0.0)] * 3 + [(1, 0.5)]
    assert work.faults() == 0
    work = loop("made", window_of(raises(ValueError()), 3, Classic), SYMBOLS[:1])
    assert one_symbol(work, 4) == [(FAULT, 0.0)] * 4


class Remembering(ClassicStrategy):
    """Answers from all it was ever told, of all symbols."""

    nexus_api = 1
    category = "statistical_arbitrage"
    start = Param(7, low=0, high=100, help="first figure")

    def initialize(self, config):
        self.figure, self.symbols = config["start"], set()

    def execute(self, data):
        self.symbols.add(data["symbol"])
        self.figure = (self.figure * 31 + data["sequence_num"] + len(self.symbols)) % 1009
        return {"signal": self.figure % 5 - 2, "confidence": self.figure / 1009}


def test_one_object_is_called_in_the_order_of_time_for_all_symbols():
    chunk, figure, symbols = with_gaps(), 11, set()
    expected = [None] * len(chunk.rows)
    for i in sorted(range(len(chunk.rows)), key=lambda i: (chunk.rows["ts"][i], chunk.rows["symbol"][i])):
        symbols.add(int(chunk.rows["symbol"][i]))
        figure = (figure * 31 + int(chunk.rows["seq"][i]) + len(symbols)) % 1009
        expected[i] = figure % 5 - 2, figure / 1009
    for size in (1, 7, 64, 4096):
        assert played(loop("made", Remembering(start=11), SYMBOLS), chunk, size) == expected


def test_a_reset_begins_a_classic_strategy_anew():
    work = loop("made", Remembering(start=11), SYMBOLS)
    chunk = with_gaps()
    first = played(work, chunk, 64)
    assert played(work, chunk, 64) != first
    work.reset()
    assert played(work, chunk, 64) == first


def test_a_classic_strategy_that_cannot_begin_anew_faults_and_ends_nothing():
    class Once(Remembering):
        begun = []

        def initialize(self, config):
            self.begun.append(config)
            if len(self.begun) > 1:
                raise OSError("its file is gone")
            super().initialize(config)

    work = loop("made", Once(), SYMBOLS[:1])
    assert FAULT not in [s for s, _ in one_symbol(work, 3)]
    work.reset()
    assert isinstance(work.error, OSError)
    assert [s for s, _ in one_symbol(work, 3)] == [FAULT] * 3


def test_a_classic_strategy_says_what_it_lives_on_and_keeps_no_figures():
    strategy = Remembering()
    assert strategy.get_category() is StrategyCategory.STATISTICAL_ARBITRAGE
    assert strategy.get_metrics() == {}


# -- tables -----------------------------------------------------------------------------------------


def framed(answer, warmup):
    strategy = window_of(answer, warmup, Classic)
    type(strategy).takes = "frame"
    return strategy


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_table_holds_the_latest_rows_and_never_one_that_was_not(size):
    pandas = pytest.importorskip("pandas")
    chunk = with_gaps(30, 2)
    chunk.rows["bid"][::3] = math.nan
    strategy = framed(lambda table: said(1, float(table["close"].iloc[-1]) / 10), 5)
    answers = played(loop("made", strategy, SYMBOLS[:2]), chunk, size)

    count, order = [0, 0], np.lexsort((chunk.rows["symbol"], chunk.rows["ts"]))
    assert len(strategy.shown) == len(order)
    for i, table in zip(order, strategy.shown, strict=True):
        row = chunk.rows[i]
        s = int(row["symbol"])
        count[s] += 1
        rows = chunk.rows[i + 1 - min(count[s], 5) : i + 1]
        assert list(table.columns) == [
            *("open", "high", "low", "close", "volume", "bid", "ask", "bid_size", "ask_size"),
            *("timestamp", "sequence_num", "symbol"),
        ]
        assert table["timestamp"].tolist() == rows["ts"].tolist()
        assert table["close"].tolist() == rows["close"].tolist()
        assert table["bid"].tolist() == np.where(np.isnan(rows["bid"]), rows["close"], rows["bid"]).tolist()
        assert table["symbol"].tolist() == [SYMBOLS[s]] * len(rows)
        assert table.index[-1] == pandas.Timestamp(int(row["ts"]), tz="UTC")
        assert answers[i] == ((1, float(row["close"]) / 10) if count[s] > 5 else (ABSENT, 0.0))


def test_a_table_may_be_written_without_harm():
    pytest.importorskip("pandas")

    def scribble(table):
        before = table["close"].tolist()
        table["close"] = -1.0
        table.loc[table.index[0], "open"] = -1.0
        return said(1, before[0] / 10)

    chunk = chunk_of(range(1, 9))
    closes = chunk.rows["close"].tolist()
    answers = played(loop("made", framed(scribble, 2), SYMBOLS[:1]), chunk, 3)
    assert answers[2:] == [(1, close / 10) for close in closes[1:7]]
    assert chunk.rows["close"].tolist() == closes


def test_a_table_of_the_warmup_has_only_the_rows_that_were(monkeypatch):
    tables = SimpleNamespace(to_datetime=lambda ts, utc: ts, DataFrame=lambda columns, index: columns)
    monkeypatch.setitem(sys.modules, "pandas", tables)
    strategy = framed(lambda table: None, 3)
    assert [s for s, _ in one_symbol(loop("made", strategy, SYMBOLS[:1]), 5)] == [ABSENT] * 3 + [0, 0]
    shown = [table["timestamp"].tolist() for table in strategy.shown]
    assert shown == [[1], [1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]


def test_tables_without_pandas_are_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        PluginError, match=r"^strategies:made takes tables, which need pandas: pip install pandas$"
    ):
        loop("made", framed(lambda table: None, 3), SYMBOLS)
    assert isinstance(loop("made", Remembering(), SYMBOLS), ClassicLoop)


# -- which style ------------------------------------------------------------------------------------


def some_step(row, state, params):
    return 0, 0.0


def test_each_style_is_put_to_work_its_own_way():
    stepped = type("Stepped", (Plain,), {"step": staticmethod(some_step)})
    assert type(loop("made", stepped(), SYMBOLS)) is StrategyLoop
    assert type(loop("made", window_of(mean_reverts), SYMBOLS)) is WindowLoop
    assert type(loop("made", Remembering(), SYMBOLS)) is ClassicLoop


def test_a_class_with_both_styles_or_neither_is_refused():
    both = type("Both", (Plain,), {"step": staticmethod(some_step), "signal": lambda self, window: (0, 0.0)})
    with pytest.raises(PluginError) as error:
        loop("made", both(), SYMBOLS)
    assert str(error.value) == "strategies:made has both a step and a signal. Its author writes one of them."
    with pytest.raises(PluginError) as error:
        loop("made", Plain(), SYMBOLS)
    assert str(error.value) == (
        "strategies:made has neither a step nor a signal. Its author writes one of them."
    )


def test_a_style_may_be_inherited():
    base = type(window_of(mean_reverts))
    assert type(loop("made", type("Child", (base,), {})(), SYMBOLS)) is WindowLoop


# -- which code a saved state belongs to ------------------------------------------------------------

SOURCE = """
import math
from nexus_core import Param, Strategy
from nexus_classic import ClassicStrategy
from nexus_core.styles import loop

FACTOR = 2.0

def outside(x):
    return math.sqrt(x)

class Base(Strategy):
    def scaled(self, x):
        return x * FACTOR

class Plain(Base):
    nexus_api, category = 1, "trend_following"
    span = Param(5, low=1, high=10, help="rows")
    other = {"b", "a", "c"}

    @property
    def warmup(self):
        return self.params.span + 1

    @classmethod
    def kept(cls):
        return 3

    def signal(self, window):
        return 1, self.scaled(outside(0.01)) * 0.5

class Old(ClassicStrategy):
    nexus_api, category = 1, "trend_following"

    @staticmethod
    def grown(x):
        return x + 1

    def execute(self, data):
        return {"signal": self.grown(0), "confidence": 0.5}

print(loop("plain", Plain(span=5), ["A"]).code, loop("old", Old(), ["A"]).code)
"""


def codes(tmp_path, **environment):
    (tmp_path / "made.py").write_text(SOURCE)
    done = subprocess.run(
        [sys.executable, tmp_path / "made.py"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout.split()


def codes_here(text):
    space = {"__name__": "made", "print": lambda *codes: space.update(codes=codes)}
    exec(text, space)
    return space["codes"]


def test_the_code_of_a_state_is_the_same_in_every_process(tmp_path):
    one = codes(tmp_path, PYTHONHASHSEED="1")
    assert one == codes(tmp_path, PYTHONHASHSEED="2")
    assert one == codes(tmp_path, PYTHONHASHSEED="2", NEXUS_JIT="0")
    assert len(set(one)) == 2


@pytest.mark.parametrize(
    ("was", "becomes", "changed"),
    [
        ("return x * FACTOR", "return x + FACTOR", [True, False]),  # a method of a base class
        ("FACTOR = 2.0", "FACTOR = 2.5", [True, False]),
        ("math.sqrt(x)", "math.cbrt(x)", [True, False]),  # a function beside the class
        ("span + 1", "span + 2", [True, False]),  # a property
        ("return 3", "return 4", [True, False]),  # a method of the class itself
        ("span=5", "span=6", [True, False]),  # a parameter
        ('"b", "a"', '"b", "d"', [True, False]),
        ("return x + 1", "return x + 2", [False, True]),  # a static method
        ("self.grown(0)", "self.grown(1)", [False, True]),
        ("import math", "import math\n\n# a remark", [False, False]),
    ],
)
def test_the_code_of_a_state_changes_with_all_that_answers(was, becomes, changed):
    assert SOURCE.count(was) == 1
    before, after = codes_here(SOURCE), codes_here(SOURCE.replace(was, becomes))
    assert [a != b for a, b in zip(before, after, strict=True)] == changed


# -- rows that came late ----------------------------------------------------------------------------------


def with_late(ticks, late, symbols=1):
    """Make a chunk of ticks, each of every symbol, and late rows at `late`: pairs of symbol and time."""
    before = chunk_of(*[[ts for s, ts in late if s == symbol] for symbol in range(symbols)], seed=6).rows
    before["flags"], before["seq"] = LATE, before["seq"] + 9000
    chunk = chunk_of(*[ticks] * symbols, seed=ticks[0])
    chunk.rows["seq"] += 100 * ticks[0]
    return Chunk(chunk.rows, chunk.starts, late=before)


def taken(ward, chunks, size):
    """Take chunks through a ward, late rows before each; return the answers to the rows in time."""
    found, tick = [], 0
    for chunk in chunks:
        answers = [np.full((1, len(chunk.rows)), 99, kind) for kind in (np.int8, float)]
        for block in blocks(chunk, tick, size, lambda _: NEVER):
            if block.late is not None:
                seen = [np.full((1, len(block.late.rows)), 99, kind) for kind in (np.int8, float)]
                ward.run(block.late, SimpleNamespace(signals=seen[0], scores=seen[1]))
                told = seen[0][0].tolist()
                assert isinstance(ward.loops[0], ClassicLoop) or told == [ABSENT] * len(told)
            ward.run(block, SimpleNamespace(signals=answers[0], scores=answers[1]))
        found.append([each.tolist() for each in answers])
        tick += chunk.ticks
    return found


class Noting(Strategy):
    """Keeps the times that it is shown, in the order in which it is asked."""

    nexus_api = 1
    category = "mean_reversion"
    warmup = 4

    def __init__(self, **given):
        super().__init__(**given)
        self.shown = []

    def signal(self, window):
        self.shown.append(window.ts.tolist())
        return int(window.seq[-1]) % 3 - 1, float(window.seq.sum() % 100) / 100


LATE_ROWS = [
    with_late([1, 2, 3, 5], [], 2),
    with_late([8, 9], [(0, 4), (0, 6), (1, 7)], 2),  # 4 after 5 was seen; 6 and 7 in order
    with_late([10, 11], [(0, 9), (1, 1)], 2),  # a second row at 9; one before all that is kept
]


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("size", [1, 2, 64])
def test_a_late_row_is_seen_in_its_place_and_not_asked_about(size, guarded):
    work = loop("noting", Noting(), SYMBOLS[:2])
    ward = Ward([work], Quarantine())
    if guarded:
        ward.guard()
    taken(ward, LATE_ROWS, size)
    first = [[2, 3, 4, 5, 6, 8][-4:], [5, 6, 8, 9], [8, 9, 9, 10], [9, 9, 10, 11]]
    other = [[3, 5, 7, 8], [5, 7, 8, 9], [7, 8, 9, 10], [8, 9, 10, 11]]
    assert work.strategy.shown == [each for pair in zip(first, other, strict=True) for each in pair]
    assert work.states["rows"].tolist() == [11, 10]
    assert work.states["tail"]["ts"].tolist() == [[9, 9, 10, 11], [8, 9, 10, 11]]
    # of the two rows at 9 the late one comes second
    assert work.states["tail"]["flags"][0].tolist() == [0, LATE, 0, 0]


@pytest.mark.parametrize("guarded", [False, True])
def test_late_rows_change_no_answer_at_any_block_size_and_after_a_restart(guarded):
    told = []
    for size in (1, 2, 64):
        kept = None
        for cut in (0, 1, 2):
            halves = LATE_ROWS[:cut], LATE_ROWS[cut:]
            answers = []
            for part in halves:
                work = loop("noting", Noting(), SYMBOLS[:2])
                if kept is not None and part is halves[1]:
                    work.states[:] = np.frombuffer(kept, work.states.dtype)
                ward = Ward([work], Quarantine())
                if guarded:
                    ward.guard()
                answers += taken(ward, part, size)
                kept = work.states.tobytes()
            told.append((answers, kept))
    assert all(each == told[0] for each in told)


@pytest.mark.parametrize("size", [1, 64])
def test_late_rows_while_it_warms_up_count_and_lie_after_the_empty_places(size):
    work = loop("noting", Noting(), SYMBOLS[:1])
    taken(Ward([work], Quarantine()), [with_late([3], []), with_late([5, 6, 7], [(0, 1), (0, 2)])], size)
    assert work.strategy.shown == [[2, 3, 5, 6][-4:], [3, 5, 6, 7]][-len(work.strategy.shown) :]
    assert work.states["tail"]["ts"].tolist() == [[3, 5, 6, 7]]


class Tripped(Noting):
    """Answers no number at a window whose last row came late, and at every row from time 10 on."""

    def signal(self, window):
        super().signal(window)
        late = window.flags[-1] & LATE != 0 or window.ts[-1] >= 10
        return 0, math.nan if late else 0.5


@pytest.mark.parametrize("size", [1, 2, 64])
def test_faults_are_counted_at_rows_in_time_alone(size):
    ward = Ward([loop("tripped", Tripped(), SYMBOLS[:2])], Quarantine(faults=3, rows=100))
    found = taken(ward, LATE_ROWS, size)
    assert found[1][0] == [[0, 0, 0, 0]]
    assert ward.loops[0].states["faults"].sum() == 3
    ((event, why),) = ward.notices
    assert (event["ts"].tolist(), why) == ([11], "tripped: 3 faults in 3 rows")
    # at time 10 both symbols fault, at 11 the first; the second is silent, as is all that follows
    assert found[2][0] == [[ABSENT] * 4]


class Diary(ClassicStrategy):
    """Writes down what it is told, and faults at what it has been told before."""

    nexus_api = 1
    category = "momentum"
    told: ClassVar[list] = []

    def execute(self, data):
        self.told.append((data["symbol"], data["timestamp"]))
        return {"signal": 1, "confidence": math.nan if data["sequence_num"] >= 9000 else 0.5}


@pytest.mark.parametrize("size", [1, 2, 64])
def test_what_remembers_hears_late_rows_when_they_come_and_its_faults_there_count(size):
    Diary.told.clear()
    ward = Ward([loop("diary", Diary(), SYMBOLS[:2])], Quarantine(faults=6, rows=100))
    found = taken(ward, LATE_ROWS, size)
    times = [ts for name, ts in Diary.told if name == SYMBOLS[0]]
    assert times == [1, 2, 3, 5, 4, 6, 8, 9, 9, 10, 11]
    assert ward.loops[0].states["faults"].tolist() == [3, 2]
    assert {each for answers in found for each in answers[0][0]} == {1}
