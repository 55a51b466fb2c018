"""Plugins are found without being imported, and each fault is one clear line."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nexus_core import API, Gate, Strategy, plugins
from nexus_core.errors import NexusError, NotFoundError, PluginError


class Shelves:
    """Lays out installed distributions: real dist-info folders with their modules beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name, points, source="", version="1.0", at="site", metadata=None):
        site = self.folder / at
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: What {name} is.\n"
        (info / "METADATA").write_text(text if metadata is None else metadata)
        groups = {}
        for key, target in points.items():
            kind, thing = key.split(":")
            groups.setdefault(kind, []).append(f"{thing} = {target}")
        lines = [f"[nexus.{kind}]\n" + "\n".join(entries) for kind, entries in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        if source:
            (site / f"{name.replace('-', '_')}.py").write_text(textwrap.dedent(source))
        plugins.offers.cache_clear()


@pytest.fixture
def shelves(tmp_path, monkeypatch):
    before = set(sys.modules)
    for at in ("site", "other"):
        (tmp_path / at).mkdir()
        monkeypatch.syspath_prepend(tmp_path / at)
    yield Shelves(tmp_path)
    plugins.offers.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


STRATEGY = """
    from nexus_core import Strategy

    class Good(Strategy):
        nexus_api = 1
        category = "trend_following"
"""


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# -- found ------------------------------------------------------------------------------------------


def test_what_is_installed_is_listed_by_kind_and_name_with_its_distribution(shelves):
    shelves.install(
        "acme-good", {"strategies:good": "acme_good:Good", "gates:fine": "acme_good:Fine"}, version="2.3"
    )
    mine = [each for each in plugins.offers() if each.distribution == "acme-good"]
    assert [(each.key, each.version, each.summary) for each in mine] == [
        ("gates:fine", "2.3", "What acme-good is."),
        ("strategies:good", "2.3", "What acme-good is."),
    ]
    assert [each.key for each in plugins.offers()] == sorted(each.key for each in plugins.offers())


def test_only_groups_of_ours_count(shelves):
    shelves.install("acme-odd", {"strategies:odd": "acme_odd:Odd", "wheels:round": "acme_odd:Round"})
    (shelves.folder / "site/acme_odd-1.0.dist-info/entry_points.txt").write_text(
        "[nexus.wheels]\nround = acme_odd:Round\n[strategies]\nbare = x:y\n[other.strategies]\nz = x:y\n"
    )
    assert [each for each in plugins.offers() if each.distribution == "acme-odd"] == []


def test_listing_imports_nothing(shelves, tmp_path):
    shelves.install("acme-loud", {"strategies:loud": "acme_loud:Loud"}, "raise SystemExit('imported')")
    script = """
        import sys
        from nexus_core import plugins
        assert "strategies:loud" in [each.key for each in plugins.offers()]
        assert plugins.find("strategies", "loud").summary == "What acme-loud is."
        heavy = {"numpy", "numba", "stevedore", "acme_loud", "nexus_gate_risk", "nexus_strategy_vwap"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_distribution_that_lies_twice_on_the_path_is_one(shelves):
    for at in ("site", "other"):
        shelves.install("acme-good", {"strategies:good": "acme_good:Good"}, STRATEGY, at=at)
    assert len([each for each in plugins.offers() if each.key == "strategies:good"]) == 1
    assert issubclass(plugins.load("strategies", "good"), Strategy)


def test_a_distribution_without_a_summary_is_listed_without(shelves):
    bare = "Metadata-Version: 2.1\nName: acme-bare\nVersion: 1.0\n"
    shelves.install("acme-bare", {"gates:bare": "acme_bare:Bare"}, metadata=bare)
    assert plugins.find("gates", "bare").summary == ""


def test_what_the_workspace_offers_loads(shelf):
    for offer in plugins.offers():
        if offer.kind != "commands" and offer.distribution.startswith("nexus-"):
            assert plugins.load(offer.kind, offer.name).name == offer.name


# -- asked for --------------------------------------------------------------------------------------


def test_a_plugin_is_made_with_its_parameters(shelves):
    shelves.install("acme-good", {"strategies:good": "acme_good:Good"}, STRATEGY)
    made = plugins.create("strategies", "good", {})
    assert (made.name, type(made).__module__) == ("good", "acme_good")


def test_a_missing_one_is_told_with_the_nearest_name_and_all_there_are(shelves):
    with pytest.raises(NotFoundError) as error:
        plugins.load("gates", "draw-down")
    assert one_line(error) == (
        "gates:draw-down is not installed. Did you mean drawdown? Installed gates: daily-loss, drawdown, "
        "duplicate, margin, min-size, position-size, stop-loss, weekly-loss."
    )
    with pytest.raises(NotFoundError, match=r"^commands:zzz is not installed\. Installed commands: none\.$"):
        plugins.find("commands", "zzz")


def test_two_that_offer_the_same_are_an_error_naming_both(shelves):
    shelves.install("acme-good", {"strategies:good": "acme_good:Good"}, STRATEGY)
    shelves.install("bolt-good", {"strategies:good": "acme_good:Good"}, version="2.0", at="other")
    for ask in (plugins.find, plugins.load):
        with pytest.raises(PluginError) as error:
            ask("strategies", "good")
        assert one_line(error) == (
            "strategies:good is offered by acme-good 1.0 and by bolt-good 2.0. Remove one of them."
        )


def test_the_same_name_of_another_kind_is_no_clash(shelves):
    shelves.install("acme-good", {"strategies:good": "acme_good:Good"}, STRATEGY)
    shelves.install("bolt-good", {"gates:good": "bolt_good:Good"}, at="other")
    assert plugins.find("strategies", "good").distribution == "acme-good"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import there_is_no_such_module", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("x = 1", "AttributeError: module 'acme_bad' has no attribute 'Bad'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", r"SyntaxError: "),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("assert False, 'so'", "AssertionError: so"),
    ],
)
def test_one_that_cannot_be_imported_is_told_with_its_reason(shelves, capfd, source, said):
    shelves.install("acme-bad", {"strategies:bad": "acme_bad:Bad"}, source, version="0.9")
    with pytest.raises(PluginError) as error:
        plugins.load("strategies", "bad")
    text = one_line(error)
    assert text.startswith(f"strategies:bad of acme-bad 0.9 cannot be imported: {said}")
    assert text.endswith(". Install it anew, or ask its author.")
    assert capfd.readouterr() == ("", "")


def test_one_that_declares_no_api_is_refused(shelves):
    shelves.install(
        "acme-old", {"strategies:old": "acme_old:Good"}, STRATEGY.replace("nexus_api = 1", "pass")
    )
    with pytest.raises(PluginError) as error:
        plugins.load("strategies", "old")
    assert one_line(error) == (
        f"strategies:old of acme-old declares no nexus_api. Its author adds nexus_api = {API}."
    )


def test_an_api_that_is_only_inherited_is_refused(shelves):
    source = STRATEGY + "\n    class Child(Good):\n        pass\n"
    shelves.install("acme-child", {"strategies:child": "acme_child:Child"}, source)
    with pytest.raises(PluginError, match=r"^strategies:child of acme-child declares no nexus_api\."):
        plugins.load("strategies", "child")


@pytest.mark.parametrize("api", ["'1'", "None", "1.0"])
def test_an_api_that_is_no_whole_number_is_refused(shelves, api):
    shelves.install("acme-odd", {"strategies:odd": "acme_odd:Good"}, STRATEGY.replace("= 1", f"= {api}"))
    with pytest.raises(PluginError, match="declares no nexus_api"):
        plugins.load("strategies", "odd")


def test_a_newer_api_is_refused_with_what_to_upgrade(shelves):
    source = STRATEGY.replace("nexus_api = 1", f"nexus_api = {API + 1}")
    shelves.install("acme-new", {"strategies:new": "acme_new:Good"}, source)
    with pytest.raises(PluginError) as error:
        plugins.load("strategies", "new")
    assert one_line(error) == (
        f"strategies:new needs interface {API + 1}, this Nexus has {API}. Upgrade nexus-core."
    )


@pytest.mark.parametrize(
    "source", ["Bad = 5", "def Bad(): ...", "import math as Bad", "class Bad:\n    nexus_api = 1"]
)
def test_what_is_no_class_of_ours_is_refused(shelves, source):
    shelves.install("acme-bad", {"gates:bad": "acme_bad:Bad"}, source)
    with pytest.raises(PluginError) as error:
        plugins.load("gates", "bad")
    text = one_line(error)
    assert text.startswith("gates:bad of acme-bad was ")
    assert text.endswith("must be a class. Its author derives it from nexus_core.Gate.")


def test_a_strategy_offered_as_a_gate_is_refused(shelves):
    shelves.install("acme-good", {"gates:good": "acme_good:Good"}, STRATEGY)
    with pytest.raises(PluginError, match=r"derives it from nexus_core\.Gate\.$"):
        plugins.load("gates", "good")
    assert not issubclass(Strategy, Gate)


def test_a_reinstall_is_seen_at_once(shelves, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shelves.install("acme-good", {"strategies:good": "acme_gone:Good"})
    with pytest.raises(PluginError, match="No module named 'acme_gone'"):
        plugins.load("strategies", "good")
    info = shelves.folder / "site/acme_good-1.0.dist-info"
    (info / "entry_points.txt").write_text("[nexus.strategies]\ngood = acme_good:Good\n")
    (shelves.folder / "site/acme_good.py").write_text(textwrap.dedent(STRATEGY))
    plugins.offers.cache_clear()
    assert plugins.load("strategies", "good").__module__ == "acme_good"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_fault_is_an_error_with_an_exit_code(shelves, kind):
    with pytest.raises(NexusError) as error:
        plugins.find(kind, "nobody")
    assert error.value.exit == 3
