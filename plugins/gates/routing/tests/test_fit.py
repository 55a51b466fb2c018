"""The router's table against one worked by hand, and fitted to the trace of a run."""

import json
from pathlib import Path

import numpy as np
import pytest
from nexus_gate_routing import Routing
from nexus_gate_routing.fit import main, reached
from nexus_gate_routing.table import fit, read

from nexus_core.errors import DataError
from nexus_core.journal import Batch, Journal
from nexus_core.records import OPINION, VERDICT, decisions

NAN = float("nan")

FIELDS = ["direction", "lean", "conviction", "routed"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("nexus_gate_routing.table.PACKAGED", tmp_path / "none.json")
    return tmp_path


def run(home, traces, fields=FIELDS, trace="full", name="20260101-000000-abcd"):
    """Make a finished run of these convictions, NaN for a decision that did not get so far."""
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    facts = {"id": folder.name, "settings": {"performance": {"trace": trace}}}
    facts |= {"context": fields} if fields is not None else {}
    (folder / "run.json").write_text(json.dumps(facts))
    with Journal(folder, write=True) as journal:
        blocks = [block(each, fields or ()) for each in traces]
        journal.commit(Batch(1, 1, "0", sum(map(len, traces)), traces=blocks))
    return folder


def block(convictions, fields):
    made = np.zeros(len(convictions), decisions(fields))
    if "conviction" in fields:
        made["context"]["conviction"] = convictions
    return made, np.zeros(0, VERDICT), np.zeros(0, OPINION)


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


def test_decisions_that_reached_the_router_are_read(home):
    folder = run(home, [[NAN, 0.5, NAN], [], [0.25, 1.0, NAN, 0.0]])
    assert list(reached(folder)) == [0.5, 0.25, 1.0, 0.0]


def test_a_table_is_fitted_to_a_run_and_found_by_the_layer(home, capsys):
    assert Routing().table is None
    folder = run(home, [[NAN, *(n / 128 for n in range(101))]])
    assert main([folder.name]) == 0
    path = home / "calibration" / "router.json"
    assert capsys.readouterr().out == f"wrote {path}\n"
    table = Routing().table
    assert table is not None
    assert (table.facts["runs"], table.facts["rows"]) == ([folder.name], 101)
    assert table.ranks[70] == pytest.approx(70.5 / 101)


def test_the_newest_run_and_another_file(home, tmp_path):
    run(home, [[n / 128 for n in range(65)]])
    there = tmp_path / "elsewhere" / "mine.json"
    assert main(["--out", str(home / "runs"), "--to", str(there)]) == 0
    table = read(there)
    assert table is not None
    assert (table.scores[0], table.scores[-1]) == (0.0, 0.5)
    assert Routing().table is None


def test_several_runs_make_one_table_and_a_run_named_twice_counts_once(home):
    first = run(home, [[n / 128 for n in range(40)]])
    second = run(home, [[0.5 + n / 128 for n in range(41)]], name="20260102-000000-abcd")
    assert main([first.name, second.name, first.name]) == 0
    table = Routing().table
    assert table is not None
    assert (table.facts["runs"], table.facts["rows"]) == ([first.name, second.name], 81)
    assert (table.scores[0], table.scores[-1]) == (0.0, 0.5 + 40 / 128)


def test_the_package_brings_a_table_and_the_users_own_comes_first(home, monkeypatch):
    import nexus_gate_routing

    path = Path(nexus_gate_routing.__file__).with_name("router.json")
    monkeypatch.setattr("nexus_gate_routing.table.PACKAGED", path)
    packaged = Routing().table
    assert packaged is not None
    assert packaged.facts["rows"] > 5_000
    assert np.interp(1.0, packaged.scores, packaged.ranks) > 0.99
    folder = run(home, [[n / 128 for n in range(101)]])
    assert main([folder.name]) == 0
    own = Routing().table
    assert own is not None
    assert own.digest != packaged.digest


@pytest.mark.parametrize("told", [{"trace": "approved"}, {"fields": ["lean"]}])
def test_one_run_that_says_too_little_refuses_the_table(home, told):
    fine = run(home, [[n / 128 for n in range(60)]])
    poor = run(home, [[0.5] * 60], name="20260102-000000-abcd", **told)
    assert main([fine.name, poor.name]) == 1
    assert not (home / "calibration").exists()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"traces": [[0.5] * 49 + [NAN] * 9]}, "49 decisions are too few"),
        ({"traces": [[]]}, "0 decisions are too few"),
        ({"traces": [[0.5] * 60], "trace": "approved"}, "its trace keeps approved"),
        ({"traces": [[0.5] * 60], "fields": ["lean"]}, "the layer routing was not at work."),
        ({"traces": [[0.5] * 60], "fields": None}, "the layer routing was not at work."),
    ],
)
def test_a_run_that_says_too_little_is_refused_in_one_line(home, capsys, made, said):
    run(home, **made)
    assert main([]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("nexus: ")
    assert told.count("\n") == 1
    assert not (home / "calibration").exists()


def test_no_such_run(capsys):
    assert main(["nothing"]) == 3
    assert "nexus: Run nothing is not in" in capsys.readouterr().err


def test_a_file_that_cannot_be_written(home, capsys):
    run(home, [[0.5] * 60])
    (home / "file").write_text("")
    assert main(["--to", str(home / "file" / "router.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
