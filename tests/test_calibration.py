"""Calibration tables: which one holds, what it says of a score, and what chain and `explain` make of it."""

import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import calibration, plugins
from nexus_core.calibration import KNOTS, Table
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import DataError
from nexus_core.gates import Chain
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.session import begin
from nexus_core.steps.curves import interpolate
from nexus_core.strategy import Param, Strategy
from nexus_core.testing import rows
from nexus_core.upkeep import homes

MINUTE = 60_000_000_000


class Known(Strategy):
    nexus_api = 1
    name = "known"
    category = "momentum"
    horizon = 5
    k = Param(2, low=1, high=9, help="k")


def curves(low=0.0, high=1.0):
    """Return a table's curves: scores from `low` to `high`, evenly ranked, right by 0.4 to 0.6."""
    p = np.linspace(0.4, 0.6, KNOTS)
    return {
        "scores": np.linspace(low, high, KNOTS).tolist(),
        "ranks": np.linspace(0.0, 1.0, KNOTS).tolist(),
        "p": p.tolist(),
        "low": (p - 0.1).tolist(),
        "high": (p + 0.1).tolist(),
    }


def written(path, tables):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tables": [dict(each.facts) for each in tables]}))


def facts(**changes):
    asked = calibration.asked(Known(), "1.0", "real", MINUTE)
    return {**asked, **curves(), **changes}


@given(st.lists(st.integers(0, 20), min_size=2, max_size=12), st.integers(-2, 22), st.integers(0, 3))
def test_interpolate_is_numpys_but_for_the_last_of_equal_knots(heights, x, quarter):
    xs = np.sort(np.array(heights, np.float64))
    ys, at = np.arange(len(xs)) / 3, x + quarter / 4
    if (xs == at).any():
        assert interpolate(xs, ys, at) == ys[np.flatnonzero(xs == at)[-1]]
    else:
        assert interpolate(xs, ys, at) == pytest.approx(np.interp(at, xs, ys), abs=1e-12)
    assert math.isnan(interpolate(xs, ys, math.nan))


def test_a_table_may_have_fewer_knots():
    few = {"scores": [0.2, 0.6], "ranks": [0.0, 1.0], "p": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7]}
    said = Table({**facts(), **few}).said
    assert said(0.4)["confidence"] == pytest.approx(0.5)
    assert said(0.6) == said(0.9) == {"confidence": 1.0, "p_right": 0.6, "low": 0.5, "high": 0.7}


def test_a_table_says_rank_and_share_right_with_its_interval():
    said = Table({**facts(), **curves(0.5, 0.9)}).said(0.7)
    assert said == pytest.approx({"confidence": 0.5, "p_right": 0.5, "low": 0.4, "high": 0.6})
    assert Table({**facts(), **curves(0.5, 0.9)}).said(0.2)["confidence"] == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "another of the package"},
        {"population": "synthetic bars"},
        {"interval": 3600 * 10**9},
        {"horizon": 6},
        {"version": "1.1"},
        {"params": {"k": 3}},
    ],
)
def test_a_table_holds_only_for_what_it_was_fitted_on(change):
    asked = calibration.asked(Known(), "1.0", "real", MINUTE)
    assert Table(facts()).fits(asked)
    assert not Table(facts(**change)).fits(asked)


def test_the_users_table_comes_before_the_published_one(tmp_path, monkeypatch):
    asked = calibration.asked(Known(), "1.0", "real", MINUTE)
    own, *_, published = calibration.places(Known())
    assert own == tmp_path / "nexus/calibration/known.json"
    assert published.name == "calibration.json"
    assert calibration.find(Known(), asked) is None
    monkeypatch.setattr(calibration, "places", lambda _: [own, tmp_path / "published.json"])
    written(tmp_path / "published.json", [Table(facts(signals=1))])
    assert calibration.find(Known(), asked).facts["signals"] == 1
    written(own, [Table(facts(version="0.9")), Table(facts(signals=2))])
    assert calibration.find(Known(), asked).facts["signals"] == 2


def test_a_folder_that_is_closed_to_us_has_no_tables(monkeypatch, tmp_path):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refused)
    assert calibration.read(tmp_path / "closed.json") == []


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        json.dumps({"tables": [{}]}),
        json.dumps({"tables": [{**curves(), "ranks": [0.5]}]}),
        json.dumps({"tables": [{**curves(), "p": [1.5] * KNOTS}]}),
        json.dumps({"tables": [{**curves(), "scores": [0.5, 0.4] + [0.6] * (KNOTS - 2)}]}),
        json.dumps({"tables": [{**curves(), "p": [None] * KNOTS}]}),
        json.dumps({"tables": [{**curves(), "p": [10**400] * KNOTS}]}),
    ],
)
def test_a_file_that_is_damaged_is_one_clear_error(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DataError, match="Fit it again, or remove it"):
        calibration.read(tmp_path / "bad.json")


def judged(table, scores, least=0.57):
    bars = rows(np.full(len(scores), 100.0))
    chain = Chain([], 2, 1, least, [table, None])
    columns = chain.columns(len(bars))
    columns.signals[0, : len(bars)], columns.scores[0, : len(bars)] = 1, scores
    for block in blocks(Chunk(bars, np.array([0, len(bars)])), 0, 10_000, lambda _: 2**62):
        chain.judge(block, columns)
    return columns, len(bars)


def test_layer_2_compares_the_rank_of_a_calibrated_score():
    columns, size = judged(Table({**facts(), **curves(0.1, 0.3)}), [0.1, 0.2, 0.25, 0.3, 0.9])
    names = [place[0] for place in KERNEL_GATES]
    assert [names[n] if n >= 0 else "" for n in columns.reasons[:size]] == ["has-signal"] * 2 + [""] * 3
    assert columns.confidences[:size] == pytest.approx([0, 0, 0.75, 1, 1])
    assert columns.values[:2] == pytest.approx([0.0, 0.5])


def test_without_a_table_the_confidence_is_the_score_to_the_last_bit():
    scores = np.random.default_rng(1).random(50)
    columns, size = judged(None, scores, least=0.0)
    assert columns.confidences[:size].tobytes() == scores.tobytes()


def own_table(name="vwap"):
    """Write the user's table for a strategy on the synthetic bars, and return the settings of a run."""
    strategy = plugins.load("strategies", name)()
    version = plugins.find("strategies", name).version
    asked = calibration.asked(strategy, version, "synthetic bars", MINUTE)
    written(calibration.places(strategy)[0], [Table({**asked, **curves(0.5, 0.9)})])
    return Settings.from_dict({"run": {"strategies": [name]}})


def test_a_run_takes_the_table_that_fits_it():
    settings = own_table()
    made = assemble(settings)
    assert list(made.engine.known) == ["vwap"]
    assert made.code["calibration:vwap"] == made.engine.known["vwap"].digest
    other = Settings.from_dict({"run": {"strategies": ["vwap"], "interval": 300}})
    assert assemble(other).engine.known == {}


def test_explain_shows_confidence_beside_the_share_right(nexus, said_in_json):
    own_table()
    done = said_in_json("run", "--plugins", "vwap", "--bars", "3000")
    assert done["calibrated"] == ["vwap"]
    assert done["signals"]["vwap"]["signals"] > 0
    told = said_in_json("explain", "--last")["signals"][0]
    expected = Table({**facts(), **curves(0.5, 0.9)}).said(told["score"])
    assert {name: told[name] for name in expected} == pytest.approx(expected)
    text = nexus("explain", "--last")[1]
    assert f"confidence {expected['confidence']:.2f}, right {expected['p_right']:.2f} [" in text


def test_a_run_goes_on_with_the_table_it_began_with(said_in_json):
    whole = said_in_json("run", "--plugins", "vwap", "--bars", "4000")
    settings = Settings.from_dict({"run": {"strategies": ["vwap"], "bars": 4000}})
    session = begin(homes.home(), assemble(settings), block=64)
    session.play(lambda _: setattr(session, "_stopping", True))
    session.close()
    own_table()
    gone_on = said_in_json("run", "--resume", session.folder.name)
    assert not session.finished
    assert (gone_on["finished"], gone_on["calibrated"]) == (True, [])
    assert gone_on["hash"] == whole["hash"]
    assert gone_on["signals"] == whole["signals"]
