"""The router's table against one worked by hand, and fitted to a run's trace."""

import json

import numpy as np
import pytest
from nexus_gate_routing import Routing
from nexus_gate_routing.fit import main, reached
from nexus_gate_routing.table import fit, read

from nexus_core.errors import DataError
from nexus_core.journal import Batch, Journal
from nexus_core.records import DECISION, OPINION, VERDICT

GATES = [
    ["has-signal", 2, "below"],
    ["direction", 4, "below"],
    ["composite", 1, "below"],
    ["strength", 4, "below"],
    ["agreement", 4, "below"],
    ["action", 5, "to"],
    ["confidence", 5, "below"],
    ["drawdown", 6, "from"],
]
PLACE = {name: n for n, (name, *_) in enumerate(GATES)}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def run(home, traces, gates=GATES, trace="full"):
    """Make a finished run of these traces: of each decision the values by gate."""
    folder = home / "runs" / "20260101-000000-abcd"
    folder.mkdir(parents=True)
    facts = {"id": folder.name, "gates": gates, "settings": {"performance": {"trace": trace}}}
    (folder / "run.json").write_text(json.dumps(facts))
    with Journal(folder, write=True) as journal:
        blocks = [block(each) for each in traces]
        journal.commit(Batch(1, 1, "0", sum(map(len, traces)), traces=blocks))
    return folder


def block(decisions):
    made = np.zeros(len(decisions), DECISION)
    made["verdicts"] = [len(each) for each in decisions]
    told = [(name, value) for each in decisions for name, value in each.items()]
    verdicts = np.zeros(len(told), VERDICT)
    verdicts["gate"], verdicts["value"] = [PLACE[name] for name, _ in told], [value for _, value in told]
    return made, verdicts, np.zeros(0, OPINION)


def decision(lean, strength, **more):
    return {"composite": 0.9, "strength": strength, "agreement": lean, "action": 1.0, **more}


# -- fitting ----------------------------------------------------------------------------------------


def test_hundred_and_one_even_values():
    table = fit([n / 100 for n in range(101)])
    assert table["rows"] == 101
    assert table["scores"] == pytest.approx([n / 100 for n in range(101)])
    assert table["ranks"] == pytest.approx([(n + 0.5) / 101 for n in range(101)])


def test_equal_values_share_the_middle_of_their_ranks():
    table = fit([0.5] * 20 + [0.7] * 60 + [0.9] * 20)
    assert table["scores"] == [0.5, 0.7, 0.9]
    assert table["ranks"] == [0.1, 0.5, 0.9]
    assert fit([0.4] * 60) == {"rows": 60, "scores": [0.4], "ranks": [0.5]}


def test_the_order_of_values_is_nothing():
    values = np.random.default_rng(3).random(333)
    assert fit(values) == fit(values[::-1])


def test_seven_tenths_of_the_decisions_lie_below_a_rank_of_seven_tenths():
    values = np.random.default_rng(4).beta(5, 2, 20_000)
    table = fit(values)
    ranks = np.interp(values, table["scores"], table["ranks"])
    assert (ranks >= 0.7).mean() == pytest.approx(0.3, abs=0.001)


@pytest.mark.parametrize(
    "values", [[0.5] * 49, [], [0.5] * 60 + [1.01], [0.5] * 60 + [-0.01], [0.5] * 60 + [np.nan]]
)
def test_what_cannot_be_fitted_is_refused(values):
    with pytest.raises(DataError):
        fit(values)


# -- a run ------------------------------------------------------------------------------------------


def test_decisions_that_reached_layer_5_are_read(home):
    early = [{"composite": 0.1}, {"composite": 0.9, "strength": 0.3}, decision(0.5, 0.8)]
    late = [{}, decision(0.9, 0.6, confidence=0.2), decision(1.0, 1.0, confidence=0.9, drawdown=0.0)]
    folder = run(home, [early, late])
    assert list(reached(folder)) == [(0.5, 0.8), (0.9, 0.6), (1.0, 1.0)]


def test_a_table_is_fitted_to_a_run_and_found_by_the_layer(home, capsys):
    assert Routing().table is None
    folder = run(home, [[decision(n / 100, 1.0) for n in range(101)]])
    assert main([folder.name]) == 0
    path = home / "calibration" / "router.json"
    assert capsys.readouterr().out == f"wrote {path}\n"
    table = Routing().table
    assert table is not None
    assert (table.facts["run"], table.facts["rows"]) == (folder.name, 101)
    assert table.ranks[70] == pytest.approx(70.5 / 101)


def test_the_newest_run_and_another_file(home, tmp_path):
    run(home, [[decision(0.5, n / 60) for n in range(61)]])
    there = tmp_path / "elsewhere" / "mine.json"
    assert main(["--out", str(home / "runs"), "--to", str(there)]) == 0
    table = read(there)
    assert table is not None
    assert table.scores[0] == 0.0
    assert table.scores[-1] == 0.5
    assert Routing().table is None


@pytest.mark.parametrize(
    ("made", "said", "code"),
    [
        ({"traces": [[decision(0.5, 0.5)] * 49]}, "49 decisions are too few", 1),
        ({"traces": [[]]}, "0 decisions are too few", 1),
        ({"traces": [[decision(0.5, 0.5)] * 60], "trace": "approved"}, "its trace keeps approved", 1),
        ({"traces": [], "gates": GATES[:4]}, "its chain had no agreement.", 1),
        ({"traces": [], "gates": GATES[:1]}, "its chain had no strength and no agreement.", 1),
        ({"traces": [], "gates": GATES[:5]}, "its chain had no gate of layer 5.", 1),
    ],
)
def test_a_run_that_says_too_little_is_refused_in_one_line(home, capsys, made, said, code):
    run(home, **made)
    assert main([]) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("nexus: ")
    assert told.count("\n") == 1
    assert not (home / "calibration").exists()


def test_no_such_run(capsys):
    assert main(["nothing"]) == 3
    assert "nexus: Run nothing is not in" in capsys.readouterr().err


def test_a_file_that_cannot_be_written(home, capsys):
    run(home, [[decision(0.5, 0.5)] * 60])
    (home / "file").write_text("")
    assert main(["--to", str(home / "file" / "router.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
