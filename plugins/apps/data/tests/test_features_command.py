"""`nexus features` lists all features and computes one."""

import json

import numpy as np
import pytest
from nexus_app_data import features
from nexus_features import FEATURES, NAMES
from typer.testing import CliRunner

from nexus_core import cli
from nexus_core.testing import CommandContract


class TestFeatures(CommandContract):
    command = "features"


def told(*arguments):
    done = CliRunner().invoke(features.app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_all_features_are_listed():
    listed = told("list")
    assert [each["name"] for each in listed] == list(NAMES)
    assert listed[4] == {
        "category": "price",
        "name": "return_1d",
        "formula": "c[t] / c[t - h] - 1, h rows spanning the time, at least one",
        "unit": "fraction",
        "needs": "bar",
        "window": 1440,
        "warmup": 1440,
        "reference": "Campbell, Lo, MacKinlay (1997), The econometrics of financial markets, 1.4",
    }


@pytest.mark.parametrize("name", ["rsi", "bid_ask_spread", "market_depth", "volume_imbalance"])
def test_a_feature_is_computed(name):
    shown = told("show", name, "--bars", 200, "--seed", 3)
    assert (shown["bars"], shown["seed"]) == (200, 3)
    assert shown["unknown"] == shown["warmup"] / 200
    assert shown["min"] < shown["median"] < shown["max"]
    rows, values = features._computed(FEATURES[NAMES.index(name)], 200, 3)
    assert len(rows) == 200
    assert shown["median"] == np.nanmedian(values)


def test_too_few_bars_have_no_range():
    shown = told("show", "sma", "--bars", 5)
    assert (shown["min"], shown["median"], shown["max"], shown["unknown"]) == (None, None, None, 1.0)


def test_a_picture_is_drawn(tmp_path):
    path = tmp_path / "rsi.png"
    assert told("show", "rsi", "--bars", 200, "--plot", path)["plot"] == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(each) for each in arguments])
    return stop.value.code, capsys.readouterr().err


def test_what_is_not_there_is_one_line(capsys, tmp_path):
    code, text = said(capsys, "features", "show", "rsii")
    assert (code, text.count("\n")) == (3, 1)
    assert "there is no rsii. Did you mean rsi? See them all: nexus features list" in text
    code, text = said(capsys, "features", "show", "rsi", "--bars", 50, "--plot", tmp_path / "no" / "x.png")
    assert (code, text.count("\n")) == (2, 1)
    assert "cannot be written (No such file or directory). Choose another place with --plot." in text
