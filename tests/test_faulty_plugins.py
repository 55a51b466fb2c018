"""Plugins that are broken in every way at once: each has its one clear line, and the others trade on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

HEAD = """
import time
from nexus_core import Strategy, hookimpl

class Counting(Strategy):
    category = "trend_following"
    warmup = 1

    def signal(self, window):
        row = int(window.seq[-1])
        return self.answer(row)

    def answer(self, row):
        return (1 if row // 40 % 2 else -1), 0.9
"""
GOOD = HEAD + "class Good(Counting):\n    nexus_api = 1\n"
RAISES = GOOD + (
    "    def answer(self, row):\n"
    "        if row >= 1000:\n            raise ValueError('no such row')\n"
    "        return 0, 0.0\n"
)
NAN = GOOD + "    def answer(self, row):\n        return 1, float('nan')\n"
SLEEPS = GOOD + (
    "    def answer(self, row):\n        time.sleep(0.06 if row == 500 else 0.0)\n        return 0, 0.0\n"
)
NEWER = HEAD + "class Good(Counting):\n    nexus_api = 99\n"
TYPO = "from nexus_core import hookimpl\n\n@hookimpl\ndef nexus_fil(run, fill):\n    pass\n"

SETTINGS = """
[run]
strategies = ["good", "imports", "raises", "nan", "sleeps", "lacking", "twin", "newer", "altered"]
symbols = ["BTC-USD"]
bars = 2000

[risk]
min_confidence = 0.5
max_daily_loss = 1
max_weekly_loss = 1
max_drawdown = 1
breaker_loss = 0
"""

LINES = {
    "imports": r"strategies:imports of test-imports 1.0 cannot be imported: RuntimeError: out of order\. "
    r"Install it anew, or ask its author\. The others trade without it\.",
    "lacking": r"strategies:lacking of test-lacking 1.0 cannot be imported: ModuleNotFoundError: No module "
    r"named 'nowhere_at_all'\. Install what offers nowhere_at_all\. The others trade without it\.",
    "twin": r"strategies:twin is offered by test-twin-a 1.0 and by test-twin-b 2.0\. Remove one of them, or "
    r"block one: --set run.blocked=test-twin-b The others trade without it\.",
    "newer": r"strategies:newer of test-newer needs interface 99, this Nexus has 1\. Upgrade nexus-core\. "
    r"The others trade without it\.",
    "raises": r"raises: raised ValueError: no such row\. Such a row counts as a fault, and the strategy as "
    r"absent\.",
    "raises, silenced": r"raises: quarantined at \S+ after 3 faults in 3 rows\. Others go on; nexus plugins "
    r"release raises lets it back\.",
    "nan": r"nan: quarantined at \S+ after 3 faults in 3 rows\. Others go on; nexus plugins "
    r"release nan lets it back\.",
    "sleeps": r"sleeps: a row took 0\.0\d\d s, its budget is 0\.05 s\. In real time such an answer is "
    r"dropped\.",
    "typo": r"hooks:typo listens to nexus_fil, which is no hook\. Did you mean nexus_fill\?",
    "altered": r"nexus\.lock: test-altered 1\.0 was changed after it was locked: test_altered\.py\.",
}


def nexus(folder, *arguments):
    """Run a command in a process of its own; return its exit code, its output and its messages."""
    done = subprocess.run(
        [sys.executable, "-m", "nexus_core", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"NEXUS_TRACE": ""},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def shop(install, tmp_path):
    """Return a folder with settings and a lock, where one plugin was changed after it was locked."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "nexus.toml").write_text(SETTINGS)
    texts = {
        "good": GOOD, "imports": "raise RuntimeError('out of order')", "raises": RAISES, "nan": NAN,
        "sleeps": SLEEPS, "lacking": "import nowhere_at_all", "newer": NEWER, "altered": GOOD,
    }  # fmt: skip
    for name, text in texts.items():
        install(f"test-{name}", {f"strategies:{name}": f"test_{name}:Good"}, text)
    install("test-twin-a", {"strategies:twin": "test_twin_a:Good"}, GOOD)
    install("test-twin-b", {"strategies:twin": "test_twin_b:Good"}, GOOD, version="2.0")
    install("test-typo", {"hooks:typo": "test_typo"}, TYPO)
    assert nexus(folder, "plugins", "lock")[0] == 0
    with open(tmp_path / "packages" / "test_altered.py", "a") as stream:
        stream.write("# another last line\n")
    return folder


def test_each_has_one_clear_line_and_the_others_trade(shop):
    code, out, messages = nexus(shop, "run", "--json")
    assert code == 0, messages
    told = messages.splitlines()
    for what, pattern in LINES.items():
        assert sum(re.fullmatch(f"nexus: {pattern}", line) is not None for line in told) == 1, (
            what,
            messages,
        )
    others = [line for line in told if not any(re.fullmatch(f"nexus: {p}", line) for p in LINES.values())]
    assert [line for line in others if "compiling" not in line] == []
    result = json.loads(out)
    assert result["finished"]
    assert result["fills"] > 10
    assert result["strategies"] == ["good", "raises", "nan", "sleeps", "altered"]
    assert set(result["inactive"]) == {"imports", "lacking", "twin", "newer"}
    assert set(result["quarantined"]) == {"raises", "nan"}
    _, listed, _ = nexus(shop, "plugins", "list", "--json")
    states = {
        each["name"]: each["state"] for each in json.loads(listed) if each["kind"] in ("strategies", "hooks")
    }
    expected = {
        "good": "active", "imports": "broken", "raises": "quarantined", "nan": "quarantined",
        "sleeps": "active", "lacking": "broken", "twin": "broken", "newer": "broken", "altered": "active",
        "typo": "broken",
    }  # fmt: skip
    assert {name: states[name] for name in expected} == expected
    beside = states.keys() - expected.keys() - {"alert", "event-calendar"}  # installed, and not in the run
    assert {states[name] for name in beside} == {"-"}


def test_real_trading_does_not_start_with_what_is_broken_or_changed(shop):
    code, out, messages = nexus(shop, "run", "--live")
    assert (code, out) == (6, "")
    assert messages.splitlines()[-1].startswith("nexus: nexus.lock: what would trade is not what was locked.")
    assert nexus(shop, "plugins", "lock")[0] == 0
    code, out, messages = nexus(shop, "run", "--live")
    assert (code, out) == (4, "")
    assert "strategies:imports of test-imports 1.0 cannot be imported" in messages.splitlines()[-1]


def test_the_same_strategies_trade_alike_with_and_without_the_broken_ones(shop):
    def hash_of(*names):
        code, out, _ = nexus(shop, "run", "--json", "--plugins", ",".join(names))
        assert code == 0
        return json.loads(out)["hash"]

    assert hash_of("good", "imports", "lacking") == hash_of("good")


UNFIT = GOOD + ("    @property\n    def warmup(self):\n        raise ValueError('no warm-up')\n")
QUITS = GOOD + "    def answer(self, row):\n        raise SystemExit(3)\n"
NO_GATES = TYPO.replace("nexus_fil(run, fill)", "nexus_gates(settings)").replace("pass", "raise ValueError")


def test_one_that_cannot_be_set_up_is_broken_and_the_others_trade(install, shop):
    install("test-unfit", {"strategies:unfit": "test_unfit:Good"}, UNFIT)
    code, out, messages = nexus(shop, "run", "--json", "--plugins", "good,unfit")
    assert code == 0
    reason = "strategies:unfit cannot be set up: ValueError: no warm-up. Ask its author."
    assert json.loads(out)["inactive"] == {"unfit": f"broken: {reason}"}
    assert f"nexus: {reason} The others trade without it." in messages.splitlines()


def test_one_that_quits_is_silenced_and_ends_no_run(install, shop):
    install("test-quits", {"strategies:quits": "test_quits:Good"}, QUITS)
    code, out, messages = nexus(shop, "run", "--json", "--plugins", "good,quits")
    assert code == 0, messages
    assert list(json.loads(out)["quarantined"]) == ["quits"]


def test_a_chain_does_not_go_without_a_gate_whose_listener_raised(install, shop):
    install("test-gates", {"hooks:gates": "test_gates"}, NO_GATES)
    code, out, messages = nexus(shop, "run", "--plugins", "good")
    assert (code, out) == (4, "")
    assert messages.splitlines()[-1] == (
        "nexus: hooks:gates raised in nexus_gates. "
        "This chain would not be the one that was meant: mend it, or block it."
    )
    assert nexus(shop, "run", "--plugins", "good", "--set", "run.blocked=gates")[0] == 0


def test_that_it_can_be_imported_is_no_pardon_for_one_in_quarantine(shop):
    assert nexus(shop, "run", "--plugins", "good,nan")[0] == 0
    listed = json.loads(nexus(shop, "plugins", "list", "--load", "--json")[1])
    assert {each["name"]: each["state"] for each in listed}["nan"] == "quarantined"
