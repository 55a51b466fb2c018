"""A strategy that faults too often is silent from the very next row, whatever the size of the blocks."""

from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nexus_classic import ClassicStrategy

from nexus_core import Strategy
from nexus_core.compile import JIT
from nexus_core.config import Quarantine
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.quarantine import Ward
from nexus_core.records import ABSENT, EVENT, ROW, empty
from nexus_core.strategy import OVERRUN, QUARANTINE, RELEASE
from nexus_core.styles import loop
from nexus_core.types import iso
from nexus_core.watch import Guard, LateError

NEVER = 2**62
FINE, ODD, RAISE = 0, 1, 2
"""What a row has its strategy do: answer, answer NaN, raise."""

MINUTE = 60_000_000_000


class Tripping(Strategy):
    """Changes its state and then does what the row says."""

    nexus_api = 1
    category = "momentum"

    @staticmethod
    def state(params):
        return {"figure": 1}

    @staticmethod
    def step(row, state, params):
        state.figure = (state.figure * 31 + row.seq) % 1009
        if row.trades == RAISE:
            raise ValueError
        if row.trades == ODD:
            return 0, math.nan
        return state.figure % 5 - 2, state.figure / 1009


class Glancing(Strategy):
    """The same in plain Python, from the rows it is shown."""

    nexus_api = 1
    category = "momentum"

    def signal(self, window):
        act = window.trades[-1]
        if act == RAISE:
            raise ValueError
        figure = int(window.seq.sum()) % 1009
        return figure % 5 - 2, math.nan if act == ODD else figure / 1009


class Recalling(ClassicStrategy):
    """The same with a memory of its own over all symbols."""

    nexus_api = 1
    category = "momentum"

    def initialize(self, config):
        self.figure = 1

    def execute(self, data):
        self.figure = (self.figure * 31 + data["sequence_num"]) % 1009
        if data["volume"] == RAISE:
            raise ValueError
        if data["volume"] == ODD:
            return {"signal": 0, "confidence": math.nan}
        return {"signal": self.figure % 5 - 2, "confidence": self.figure / 1009}


def chunk_of(*acts):
    """Make a chunk; `acts[s][t]` is what symbol s does at tick t, None where it has no row."""
    there = [[t for t, act in enumerate(each) if act is not None] for each in acts]
    rows = empty(ROW, sum(map(len, there)))
    rows["symbol"] = np.repeat(np.arange(len(acts)), [len(each) for each in there])
    rows["ts"] = [(t + 1) * MINUTE for each in there for t in each]
    rows["trades"] = [acts[s][t] for s, each in enumerate(there) for t in each]
    rows["volume"] = rows["trades"]
    rows["seq"] = np.arange(len(rows)) * 7 + 3
    return Chunk(rows, np.cumsum([0, *map(len, there)]))


def in_time(chunk):
    return sorted(range(len(chunk.rows)), key=lambda i: (chunk.rows["ts"][i], chunk.rows["symbol"][i]))


class Slow:
    """The words, one row at a time: what a ward of one strategy has to come to."""

    def __init__(self, kind, warmup, rules, symbols):
        self.kind, self.warmup, self.rules = kind, warmup, rules
        self.symbols = symbols
        self.given, self.recent, self.since, self.told = 0, [], 0, []
        self.begin()

    def begin(self):
        self.rows, self.faults = [0] * self.symbols, [0] * self.symbols
        self.figures = [1] * (1 if self.kind is Recalling else self.symbols)
        self.seen = [[] for _ in range(self.symbols)]

    def answer(self, s, row):
        """Return a signal and a score; "raise" for a fault that warming up does not excuse."""
        own, act, seq = 0 if self.kind is Recalling else s, int(row["trades"]), int(row["seq"])
        warm = self.rows[s] > self.warmup
        self.seen[s].append(seq)
        if self.kind is Glancing:
            figure = sum(self.seen[s][-max(self.warmup, 1) :]) % 1009
            if not warm:
                return 0, 0.0
        else:
            figure = (self.figures[own] * 31 + seq) % 1009
            if act != RAISE or self.kind is Recalling:  # a step that raised leaves its state as it was
                self.figures[own] = figure
        if act == RAISE:
            return "raise", 0.0
        return figure % 5 - 2, math.nan if act == ODD else figure / 1009

    def take(self, row):
        if self.since:
            return ABSENT, 0.0
        s = int(row["symbol"])
        self.rows[s] += 1
        signal, score = self.answer(s, row)
        warm = self.rows[s] > self.warmup
        if signal == "raise" or (warm and math.isnan(score)):
            self.faults[s] += 1
            self.recent.append(self.given)
            lately = [n for n in self.recent if self.given - n < self.rules.rows]
            if len(lately) >= self.rules.faults:
                self.since = int(row["ts"])
                span = self.given - lately[-self.rules.faults] + 1
                self.told.append((self.since, f"made: {self.rules.faults} faults in {span} rows"))
            signal, score, warm = ABSENT, 0.0, False
        self.given += 1
        return (signal, score) if warm else (ABSENT, 0.0)

    def release(self):
        self.since, self.recent = 0, []
        self.begin()

    def played(self, chunk, releases):
        answers = [None] * len(chunk.rows)
        for i in in_time(chunk):
            tick = int(np.searchsorted(chunk.times, chunk.rows["ts"][i]))
            for each in [each for each in releases if each <= tick]:
                releases = [other for other in releases if other != each]
                self.release()
            answers[i] = self.take(chunk.rows[i])
        facts = {"since": self.since, "told": self.told, "rows": self.rows, "faults": self.faults}
        if self.kind is Tripping:
            facts["figures"] = self.figures
        return answers, facts


def event(kind, strategy, symbol=-1, ts=0, state=0):
    made = empty(EVENT, 1)
    made["kind"], made["reason"], made["symbol"], made["ts"], made["state"] = (
        kind,
        strategy,
        symbol,
        ts,
        state,
    )
    return made


def ward_of(kinds, warmup, rules, symbols):
    names = ["A-USD", "B-USD", "C-USD"][:symbols]
    made = [type("Made", (kind,), {"warmup": warmup})() for kind in kinds]
    return Ward([loop(f"made{n or ''}", each, names) for n, each in enumerate(made)], rules)


def take(ward, chunk, size, releases=()):
    """Take a chunk through a ward in blocks; return its columns."""
    shape = len(ward.loops), len(chunk.rows)
    columns = SimpleNamespace(signals=np.full(shape, 99, np.int8), scores=np.full(shape, 99.0))
    for block in blocks(chunk, 0, size, lambda _: NEVER, sorted(set(releases))):
        if block.tick in releases:
            ward.tell(event(RELEASE, 0))
        ward.run(block, columns)
    return columns


def played(kind, warmup, rules, chunk, size, releases=()):
    ward = ward_of([kind], warmup, rules, len(chunk.starts) - 1)
    columns = take(ward, chunk, size, releases)
    (work,) = ward.loops
    facts = {
        "since": int(ward.books["since"][0]),
        "told": [(int(event["ts"][0]), why) for event, why in ward.notices],
        "rows": work.states["rows"].tolist(),
        "faults": work.states["faults"].tolist(),
    }
    if kind is Tripping:
        facts["figures"] = work.states["own"]["figure"].tolist()
    assert {int(event["kind"][0]) for event, _ in ward.notices} <= {QUARANTINE}
    return list(zip(columns.signals[0].tolist(), columns.scores[0].tolist(), strict=True)), facts


KINDS = [Tripping, Glancing, Recalling]
SIZES = [1, 7, 64, 4096]


# -- worked by hand ---------------------------------------------------------------------------------


def acts(count, **at):
    """Return what one symbol does in so many rows: fine, but at the rows named."""
    made = [FINE] * count
    for act, rows in at.items():
        for row in rows:
            made[row] = {"odd": ODD, "raising": RAISE}[act]
    return made


def silent_from(kind, size, chunk, rules=None):
    """Return the place in time of the first row of the silence that lasts to the end."""
    answers, facts = played(kind, 0, rules or Quarantine(), chunk, size)
    signals = [answers[i][0] for i in in_time(chunk)]
    last = max((n for n, signal in enumerate(signals) if signal != ABSENT), default=-1)
    return last + 1, facts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("act", ["odd", "raising"])
def test_the_third_fault_in_a_hundred_rows_silences_from_the_next_row(kind, size, act):
    chunk = chunk_of(acts(250, **{act: [10, 60, 109]}))  # rows 10 to 109 are a hundred
    answers, facts = played(kind, 0, Quarantine(), chunk, size)
    signals = [s for s, _ in answers]
    assert [n for n, signal in enumerate(signals) if signal == ABSENT] == [10, 60, *range(109, 250)]
    assert facts["since"] == 110 * MINUTE
    assert facts["told"] == [(110 * MINUTE, "made: 3 faults in 100 rows")]
    assert facts["rows"] == [110]  # what it is not asked about, it does not see
    assert facts["faults"] == [3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_a_third_fault_in_the_hundred_and_first_row_does_not(kind, size):
    chunk = chunk_of(acts(300, odd=[10, 160], raising=[60, 110, 210, 260]))
    answers, facts = played(kind, 0, Quarantine(), chunk, size)
    assert [n for n, (signal, _) in enumerate(answers) if signal == ABSENT] == [10, 60, 110, 160, 210, 260]
    assert (facts["since"], facts["told"], facts["faults"]) == (0, [], [6])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_rows_of_all_symbols_count(kind, size):
    # two symbols, so tick t is rows 2t and 2t + 1: faults in rows 20, 71 and 119
    near = chunk_of(acts(100, odd=[10]), acts(100, raising=[35, 59]))
    place, facts = silent_from(kind, size, near)
    assert (place, facts["since"]) == (119, 60 * MINUTE)
    assert facts["rows"] == [60, 60]
    # and in rows 20, 71 and 120
    wide = chunk_of(acts(100, odd=[10, 60]), acts(100, raising=[35]))
    assert silent_from(kind, size, wide)[0] == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_within_a_tick_the_silence_begins_with_the_next_symbol(kind, size):
    chunk = chunk_of(acts(9, raising=[2, 4]), acts(9, odd=[4]), acts(9))
    answers, facts = played(kind, 0, Quarantine(), chunk, size)
    by_time = [answers[i][0] != ABSENT for i in in_time(chunk)]
    assert by_time == [True] * 6 + [False] + [True] * 5 + [False] * 15
    assert facts["rows"] == [5, 5, 4]


@pytest.mark.parametrize("size", SIZES)
def test_a_step_that_raises_in_its_warmup_is_counted_and_one_that_answers_nan_is_not(size):
    chunk = chunk_of(acts(40, odd=[1, 2, 3, 4], raising=[5, 6, 25]))
    answers, facts = played(Tripping, 10, Quarantine(), chunk, size)
    assert [n for n, (signal, _) in enumerate(answers) if signal != ABSENT] == list(range(10, 25))
    assert facts["told"] == [(26 * MINUTE, "made: 3 faults in 21 rows")]


@pytest.mark.parametrize("size", SIZES)
def test_one_fault_may_be_enough(size):
    rules = Quarantine(faults=1, rows=1)
    chunk = chunk_of(acts(20, raising=[7]))
    assert silent_from(Tripping, size, chunk, rules)[0] == 7
    assert played(Tripping, 0, rules, chunk, size)[1]["told"] == [(8 * MINUTE, "made: 1 faults in 1 rows")]


def test_more_faults_than_rows_never_silence():
    rules = Quarantine(faults=3, rows=2)
    chunk = chunk_of([RAISE] * 50)
    assert played(Tripping, 0, rules, chunk, 7)[1]["since"] == 0


@pytest.mark.parametrize("size", SIZES)
def test_others_go_on(size):
    chunk = chunk_of(acts(80, raising=[3, 4, 5]), acts(80))
    alone = ward_of([Glancing], 2, Quarantine(), 2)
    quiet = chunk_of(acts(80), acts(80))
    wanted = take(alone, quiet, 4096).scores[0].tolist()
    ward = ward_of([Tripping, Tripping, Recalling], 0, Quarantine(), 2)
    columns = take(ward, chunk, size)
    assert list(ward.silent()) == ["made", "made1", "made2"]
    assert set(ward.silent().values()) == {iso(6 * MINUTE)}
    assert (columns.signals[:, 40:80] == ABSENT).all()
    # one that does not fault beside them
    steady = type("Steady", (Glancing,), {"signal": lambda self, w: (0, int(w.seq.sum()) % 1009 / 1009)})
    ward = ward_of([Tripping, steady], 2, Quarantine(), 2)
    assert take(ward, chunk, size).scores[1].tolist() == wanted
    assert list(ward.silent()) == ["made"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_after_a_release_it_warms_up_anew_and_may_fault_anew(kind, size):
    chunk = chunk_of(acts(120, raising=[10, 11, 12, 70, 71, 99]))
    answers, facts = played(kind, 5, Quarantine(), chunk, size, [50])
    speaks = [n for n, (signal, _) in enumerate(answers) if signal != ABSENT]
    assert speaks == [*range(5, 10), *range(55, 70), *range(72, 99)]
    assert [why for _, why in facts["told"]] == ["made: 3 faults in 3 rows", "made: 3 faults in 30 rows"]


def test_the_faults_of_before_a_release_are_forgiven():
    chunk = chunk_of(acts(60, raising=[10, 11, 12, 20, 21]))
    assert played(Tripping, 0, Quarantine(), chunk, 16, [15])[1]["since"] == 0


def test_what_was_told_of_no_strategy_changes_none():
    ward = ward_of([Tripping], 0, Quarantine(), 1)
    take(ward, chunk_of([RAISE] * 5), 5)
    before = ward.books.tobytes()
    ward.tell(event(RELEASE, -1))
    assert ward.books.tobytes() == before


# -- against the words ------------------------------------------------------------------------------

act = st.sampled_from([None, *[FINE] * 8, ODD, RAISE])
ticks = st.integers(1, 3).flatmap(
    lambda symbols: st.lists(st.tuples(*[act] * symbols).filter(any_row), min_size=1, max_size=90)
)


def any_row(tick):
    return any(each is not None for each in tick)


@pytest.mark.parametrize("kind", KINDS)
@given(
    ticks=ticks,
    warmup=st.integers(0, 6),
    faults=st.integers(1, 4),
    rows=st.integers(1, 40),
    size=st.integers(1, 100),
    releases=st.lists(st.integers(0, 80), max_size=3),
)
@example([(RAISE,)] * 20, 0, 3, 3, 7, [5, 10])
@example([(ODD, RAISE)] * 20, 3, 2, 2, 3, [])
@settings(max_examples=150 if JIT else 60)
def test_the_size_of_blocks_changes_nothing(kind, ticks, warmup, faults, rows, size, releases):
    chunk = chunk_of(*zip(*ticks, strict=True))
    rules = Quarantine(faults=faults, rows=rows)
    expected = Slow(kind, warmup, rules, len(ticks[0])).played(chunk, releases)
    for each in (size, 1, 4096):
        assert played(kind, warmup, rules, chunk, each, releases) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_market_of_faults_comes_to_the_same(kind):
    rng = np.random.default_rng(11)
    made = rng.choice([FINE, ODD, RAISE, -1], (3, 3000), p=[0.94, 0.01, 0.01, 0.04])
    made[:, made.max(axis=0) < 0] = FINE
    chunk = chunk_of(*[[None if each < 0 else int(each) for each in row] for row in made])
    releases = list(range(100, 3000, 100))
    expected = Slow(kind, 9, Quarantine(), 3).played(chunk, releases)
    assert len(expected[1]["told"]) > 5
    for size in SIZES:
        assert played(kind, 9, Quarantine(), chunk, size, releases) == expected


# -- rows whose answers were dropped ----------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)  # not always that of the run in which it was dropped
@pytest.mark.parametrize("asked", [0, 1])
def test_a_row_told_as_dropped_is_a_fault_again(size, asked):
    chunk = chunk_of(acts(30), acts(30))
    ward = ward_of([Glancing], 0, Quarantine(), 2)
    for symbol, tick in ((0, 4), (1, 4), (1, 6)):
        ward.tell(event(OVERRUN, 0, symbol, (tick + 1) * MINUTE, asked))
    columns = take(ward, chunk, size)
    absent = [n for n, i in enumerate(in_time(chunk)) if columns.signals[0][i] == ABSENT]
    assert absent == [8, 9, *range(13, 60)]


@pytest.mark.parametrize("asked", [0, 1])
def test_a_classic_strategy_remembers_a_dropped_row_only_if_it_was_asked(asked):
    chunk = chunk_of(acts(10))
    ward = ward_of([Recalling], 0, Quarantine(), 1)
    ward.tell(event(OVERRUN, 0, 0, 4 * MINUTE, asked))
    columns = take(ward, chunk, 10)
    figure, scores = 1, []
    for n, seq in enumerate(chunk.rows["seq"].tolist()):
        if n != 3 or asked:
            figure = (figure * 31 + seq) % 1009
        scores.append(0.0 if n == 3 else figure / 1009)
    assert columns.scores[0].tolist() == scores


def test_a_plain_strategy_is_not_asked_again_about_a_row_it_took_too_long_for():
    asked = []
    kind = type("Made", (Glancing,), {"signal": lambda self, w: (asked.append(int(w.seq[-1])), (1, 0.5))[1]})
    ward = ward_of([kind], 0, Quarantine(), 1)
    ward.tell(event(OVERRUN, 0, 0, 2 * MINUTE, 1))
    take(ward, chunk_of(acts(3)), 3)
    assert asked == [3, 17]


# -- what a person is told --------------------------------------------------------------------------


def test_each_kind_of_error_is_told_of_once_and_the_silence_with_the_way_back(caplog):
    ward = ward_of([Tripping], 0, Quarantine(budget=3600.0), 1)
    with caplog.at_level("WARNING", logger="nexus"):
        take(ward, chunk_of(acts(30, raising=[3, 9, 12])), 7)
    raised, quarantined = caplog.messages
    assert raised.startswith("made: raised ValueError: ")
    assert raised.endswith("Such a row counts as a fault, and the strategy as absent.")
    assert quarantined == (
        f"made: quarantined at {iso(13 * MINUTE)} after 3 faults in 10 rows. "
        "Others go on; nexus plugins release made lets it back."
    )


# -- calls that may take so long and no longer --------------------------------------------------------


def test_a_guard_hands_over_answers_and_errors():
    guard = Guard(60.0)
    assert [guard(abs, -n) for n in range(3)] == [0, 1, 2]
    with pytest.raises(TypeError):
        guard(abs, "x")
    assert guard(abs, -7) == 7


def test_after_a_late_call_others_are_refused_until_it_returns_and_its_answer_is_nobodys():
    guard, wake, made = Guard(0.05), threading.Event(), []

    def sleeping(number):
        made.append(number)
        wake.wait(60.0)
        return number

    with pytest.raises(LateError) as late:
        guard(sleeping, 1)
    assert late.value.made
    for number in (2, 3):
        with pytest.raises(LateError) as late:
            guard(sleeping, number)
        assert not late.value.made
    wake.set()
    while guard._answers.empty():
        time.sleep(0.001)
    guard._seconds = 60.0
    assert guard(sleeping, 4) == 4
    assert made == [1, 4]


def test_a_late_call_that_raises_raises_at_nobody():
    guard, wake = Guard(0.05), threading.Event()

    def failing(_):
        wake.wait(60.0)
        raise ValueError

    with pytest.raises(LateError):
        guard(failing, 0)
    wake.set()
    while guard._answers.empty():
        time.sleep(0.001)
    guard._seconds = 60.0
    assert guard(abs, -4) == 4


def test_under_guard_each_row_is_asked_once_in_the_order_of_time_up_to_the_silence():
    asked = []

    class Asked(Glancing):
        def signal(self, window):
            asked.append(int(window.seq[-1]))
            return super().signal(window)

    chunk = chunk_of(acts(10, raising=[2]), acts(10, raising=[2]), acts(10), acts(10, raising=[2]), acts(10))
    ward = ward_of([Asked], 0, Quarantine(budget=3600.0), 3)
    ward.loops[0] = loop("made", Asked(), list("ABCDE"))
    ward.guard()
    take(ward, chunk, 10)
    assert asked == [int(chunk.rows["seq"][i]) for i in in_time(chunk)[:14]]
    assert [int(event["kind"][0]) for event, _ in ward.notices] == [QUARANTINE]
