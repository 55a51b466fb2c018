"""Plugins are found without being imported, and whatever is wrong with one is said in one clear line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nexus_core import API, cli, plugins
from nexus_core.errors import Exit, NotFoundError

GOOD = """
from nexus_core import Strategy

class Good(Strategy):
    nexus_api = 1
    category = "trend_following"
"""


def nexus(*arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    return stop.value.code


def run_of(strategy):
    return "run", "--plugins", strategy, "--symbols", "A-USD", "--bars", "10"


def refused(capsys, *arguments):
    """Run a command that has to fail with one line on standard error; return its exit code and the line."""
    code = nexus(*arguments)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nexus: ")
    assert said.err.count("\n") == 1
    return code, said.err


def in_a_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


# -- found, not imported ------------------------------------------------------------------------------


def test_finding_plugins_imports_none_of_them(install):
    install("test-bomb", {"strategies:bomb": "test_bomb:Bomb"}, "raise RuntimeError('was imported')")
    found, loaded = in_a_process(
        "import json, sys\n"
        "from nexus_core import plugins\n"
        "keys = [each.key for each in plugins.offers()]\n"
        "print(json.dumps([keys, sorted(sys.modules)]))"
    )
    assert "strategies:bomb" in found
    assert {"strategies:vwap", "feeds:synthetic", "brokers:paper", "gates:duplicate"} <= set(found)
    assert [name for name in loaded if name.startswith(("test_bomb", "nexus_strategy", "nexus_feed"))] == []
    assert {"numpy", "numba", "stevedore"}.isdisjoint(loaded)


def test_listing_and_help_import_no_plugin_either(install, capsys):
    install("test-bomb", {"commands:bomb": "test_bomb:app"}, "raise RuntimeError", summary="Goes off.")
    assert nexus("plugins", "list") == Exit.OK
    assert "test-bomb" in capsys.readouterr().out
    assert nexus("--help") == Exit.OK
    assert any(line.split() == ["bomb", "Goes", "off."] for line in capsys.readouterr().out.splitlines())
    assert "test_bomb" not in sys.modules


def test_loading_one_plugin_imports_no_other(install):
    install("test-good", {"strategies:good": "test_good:Good"}, GOOD)
    install("test-bomb", {"strategies:bomb": "test_bomb:Bomb"}, "raise RuntimeError('was imported')")
    assert plugins.load("strategies", "good").name == "good"
    assert "test_bomb" not in sys.modules


def test_an_offer_says_what_it_is_and_who_offers_it(install):
    install("test-good", {"strategies:good": "test_good:Good"}, GOOD, version="2.3", summary="Does good.")
    offer = plugins.find("strategies", "good")
    assert (offer.key, offer.kind, offer.name) == ("strategies:good", "strategies", "good")
    assert (offer.distribution, offer.version, offer.summary) == ("test-good", "2.3", "Does good.")


def test_a_distribution_without_a_summary_is_found_all_the_same(install):
    install("test-good", {"strategies:good": "test_good:Good"}, GOOD, summary="")
    assert plugins.find("strategies", "good").summary == ""


def test_groups_that_are_no_kind_of_plugin_are_left_alone(install):
    install("test-other", {"elsewhere:thing": "test_other:Thing"}, "")
    assert not [each for each in plugins.offers() if each.distribution == "test-other"]


def test_offers_come_in_order_of_kind_and_name(install):
    install("test-good", {"strategies:zz": "test_good:Good", "strategies:aa": "test_good:Good"}, GOOD)
    keys = [(each.kind, each.name) for each in plugins.offers()]
    assert keys == sorted(keys)


def test_a_reinstalled_distribution_is_found_anew(install, path):
    install("test-good", {"strategies:good": "test_good:Good"}, GOOD)
    assert plugins.load("strategies", "good").category == "trend_following"
    points = path / "test_good-1.0.dist-info" / "entry_points.txt"
    points.write_text("[nexus.strategies]\nbest = test_good:Good\n")
    plugins.offers.cache_clear()
    assert plugins.load("strategies", "best").name == "best"
    with pytest.raises(NotFoundError):
        plugins.find("strategies", "good")


# -- clashes ----------------------------------------------------------------------------------------


def test_two_distributions_that_offer_the_same_are_both_named(install, capsys):
    install("test-left", {"strategies:twin": "test_left:Good"}, GOOD, version="1.0")
    install("test-right", {"strategies:twin": "test_right:Good"}, GOOD, version="2.0")
    code, line = refused(capsys, *run_of("twin"))
    assert code == Exit.CONFIG == 4
    assert line == (
        "nexus: strategies:twin is offered by test-left 1.0 and by test-right 2.0. Remove one of them, "
        "or block one: --set run.blocked=test-right\n"
    )
    assert {"test_left", "test_right"}.isdisjoint(sys.modules)


def test_a_clash_hurts_only_what_clashes(install):
    install("test-left", {"strategies:twin": "test_left:Good", "strategies:mine": "test_left:Good"}, GOOD)
    install("test-right", {"strategies:twin": "test_right:Good"}, GOOD)
    assert plugins.load("strategies", "mine").name == "mine"


def test_one_name_in_two_kinds_is_no_clash(install):
    install("test-left", {"strategies:twin": "test_left:Good"}, GOOD)
    install("test-right", {"gates:twin": "test_right:Good"}, GOOD)
    assert plugins.find("strategies", "twin").distribution == "test-left"


def test_a_distribution_that_lies_twice_on_the_path_counts_once(install, path, monkeypatch):
    install("test-good", {"strategies:good": "test_good:Good"}, GOOD, version="1.0")
    install("test-good", {"strategies:good": "test_good:Good"}, GOOD, version="9.0", under=path / "later")
    monkeypatch.setattr(sys, "path", [*sys.path, str(path / "later")])
    plugins.offers.cache_clear()
    assert plugins.find("strategies", "good").version == "1.0"


# -- what is not there, or not right ------------------------------------------------------------------


def test_a_missing_plugin_is_refused_with_a_hint_and_what_there_is(capsys):
    code, line = refused(capsys, *run_of("vwpa"))
    assert code == Exit.NOT_FOUND == 3
    assert line.startswith(
        "nexus: strategies:vwpa is not installed. Did you mean vwap? Installed strategies: "
    )
    assert {"ema-cross", "vwap"} <= {each.strip(" .\n") for each in line.rpartition(":")[2].split(",")}


def test_a_name_like_none_that_is_installed_gets_no_hint():
    with pytest.raises(NotFoundError) as refusal:
        plugins.find("feeds", "zzz")
    assert "Did you mean" not in str(refusal.value)


def test_a_kind_of_which_nothing_is_installed_says_none(monkeypatch):
    monkeypatch.setattr(plugins, "offers", tuple)
    with pytest.raises(NotFoundError, match=r"commands:zzz is not installed. Installed commands: none\."):
        plugins.find("commands", "zzz")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "import a_module_that_is_nowhere",
            "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(9)", "SystemExit: 9"),
        ("pass", "has no attribute 'Broken'"),
        ("class", "SyntaxError: "),
    ],
)
def test_a_plugin_that_cannot_be_imported_says_why_and_whose_it_is(install, capsys, text, what):
    install("test-broken", {"strategies:broken": "test_broken:Broken"}, text, version="1.4")
    code, line = refused(capsys, *run_of("broken"))
    assert code == Exit.CONFIG
    assert line.startswith("nexus: strategies:broken of test-broken 1.4 cannot be imported: ")
    assert what in line
    advice = "Install what offers a_module_that_is_nowhere.\n"
    assert line.endswith(advice if "nowhere" in text else "Install it anew, or ask its author.\n")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("class Odd(Strategy): pass", "declares no nexus_api. Its author adds nexus_api = 1."),
        ("class Odd(Base): pass", "declares no nexus_api. Its author adds nexus_api = 1."),
        ("class Odd(Strategy): nexus_api = '1'", "declares no nexus_api. Its author adds nexus_api = 1."),
        (
            f"class Odd(Strategy): nexus_api = {API + 1}",
            f"needs interface {API + 1}, this Nexus has {API}. Upgrade nexus-core.",
        ),
        ("Odd = 5", "was 5, must be a class. Its author derives it from nexus_core.Strategy."),
        ("class Odd: nexus_api = 1", "must be a class. Its author derives it from nexus_core.Strategy."),
        (
            "class Odd(Gate): nexus_api = 1",
            "must be a class. Its author derives it from nexus_core.Strategy.",
        ),
    ],
    ids=["none", "inherited", "text", "newer", "no class", "no plugin", "another kind"],
)
def test_a_plugin_of_no_or_another_interface_is_refused(install, capsys, body, what):
    head = "from nexus_core import Gate, Strategy\nclass Base(Strategy): nexus_api = 1\n"
    install("test-odd", {"strategies:odd": "test_odd:Odd"}, head + body)
    code, line = refused(capsys, *run_of("odd"))
    assert code == Exit.CONFIG
    assert line.startswith("nexus: strategies:odd ")
    assert line.endswith(f"{what}\n")


@pytest.mark.parametrize("api", range(1, API + 1))
def test_every_interface_up_to_this_one_is_taken(install, api):
    install("test-good", {"strategies:good": "test_good:Good"}, GOOD.replace("= 1", f"= {api}"))
    assert plugins.load("strategies", "good").nexus_api == api


@pytest.mark.parametrize(("option", "kind"), [("--feed", "feeds"), ("--broker", "brokers")])
def test_a_strategy_stands_in_for_no_feed_and_no_broker(install, capsys, option, kind):
    install("test-good", {f"{kind}:good": "test_good:Good"}, GOOD)
    code, line = refused(capsys, "run", option, "good")
    assert code == Exit.CONFIG
    assert "must be a class" in line


def test_a_missing_gate_is_said_once_and_refuses_everything(capsys):
    code = nexus(*run_of("vwap"), "--set", "risk.gates=duplciate", "--json")
    said = capsys.readouterr()
    assert code == Exit.OK
    assert said.err.startswith(
        "nexus: gates:duplciate is not installed. Did you mean duplicate? Installed gates:"
    )
    assert said.err.endswith("Until then every entry is refused by it.\n")
    assert said.err.count("\n") == 1
    assert json.loads(said.out)["approved"] == 0


# -- commands that plugins add ------------------------------------------------------------------------


def test_a_command_of_a_plugin_is_listed_and_runs(shelf, capsys):
    assert nexus("--help") == Exit.OK
    assert "Say hello from another package." in capsys.readouterr().out
    assert nexus("hello", "--to", "them") == Exit.OK
    assert capsys.readouterr().out == "hello them\n"


def test_a_command_of_a_plugin_that_is_none_is_refused(install, capsys):
    install("test-odd", {"commands:odd": "test_odd:odd"}, "odd = 7")
    code, line = refused(capsys, "odd")
    assert code == Exit.CONFIG
    assert line == "nexus: commands:odd of test-odd was 7, must be a typer.Typer. Ask its author.\n"


def test_two_commands_of_one_name_are_refused(install, capsys):
    install("test-left", {"commands:twin": "test_left:app"}, "")
    install("test-right", {"commands:twin": "test_right:app"}, "")
    code, line = refused(capsys, "twin")
    assert code == Exit.CONFIG
    assert "test-left 1.0 and by test-right 1.0" in line


def test_no_plugin_takes_the_place_of_a_command_of_the_kernel(install, capsys):
    install(
        "test-odd", {"commands:status": "test_odd:app"}, "raise RuntimeError", summary="Not the kernel's."
    )
    assert nexus("status", "--help") == Exit.OK
    assert "Show where a run stands." in capsys.readouterr().out
    assert nexus("--help") == Exit.OK
    assert "Not the kernel's." not in capsys.readouterr().out
