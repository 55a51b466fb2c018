"""Real runs, each in a process of its own: alerts arrive, and a run without a server ends as it would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
STRATEGY = """
from nexus_core import Strategy


class Broken(Strategy):
    nexus_api = 1
    category = "trend_following"
    warmup = 1

    def signal(self, window):
        if int(window.seq[-1]) >= 100:
            raise ValueError("no such row")
        return 0, 0.0
"""


@pytest.fixture
def packages(tmp_path):
    """Return a folder with a package whose strategy raises from its hundredth row on."""
    info = tmp_path / "packages" / "test_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nexus.strategies]\nbroken = test_broken:Broken\n")
    (info.parent / "test_broken.py").write_text(STRATEGY)
    return info.parent


@pytest.fixture
def played(tmp_path, packages):
    """Return a function that plays a run with a table of its own; its result and its messages."""

    def play(table, **environ):
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        (tmp_path / "nexus.toml").write_text(f"[plugins.alert]\n{lines}")
        options = ["--plugins", "vwap,broken", "--symbols", "BTC-USD", "--bars", "300", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "nexus_core", "run", *options],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(packages)} | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    return play


def test_a_quarantine_arrives_and_no_setting_is_called_unused(web, mailbox, played):
    box = mailbox()
    mail = {"mail_to": "a@b.c", "mail_from": "d@e.f", "mail_host": f"127.0.0.1:{box.port}"}
    secrets = {"NEXUS_ALERT_WEBHOOK_SECRET": "hunter2", "NEXUS_ALERT_MAIL_PASSWORD": "hunter2"}
    wanted = ["nexus_start", "nexus_alert", "nexus_stop"]
    result, said = played({"webhook": web.address, "events": wanted, **mail}, **secrets)
    told = [json.loads(body) for _, _, body in web.got]
    assert [(each["event"], each["title"]) for each in told] == [
        ("nexus_start", "started"),
        ("nexus_alert", "quarantine"),
        ("nexus_stop", "finished"),
    ]
    assert {each["run"] for each in told} == {result["run"]}
    assert told[1]["text"].startswith("broken: ")
    assert [b"Subject: Nexus: quarantine" in each for each in box.letters] == [False, True, False]
    assert "plugins.alert" not in said
    assert "alert:" not in said
    assert not [each for each in Path(os.environ["NEXUS_HOME"]).rglob("*") if holds(each, b"hunter2")]


def holds(path, text):
    return path.is_file() and text in path.read_bytes()


def test_neither_a_dead_server_nor_a_wrong_setting_changes_what_comes_of_a_run(nobody, played):
    quiet, _ = played({})
    dead, said = played({"webhook": f"http://127.0.0.1:{nobody}/"})
    assert dead["hash"] == quiet["hash"]
    assert said.count("alert: webhook 127.0.0.1: Connection refused.") == 1
    wrong, said = played({"webhook": "http://example.org/"})
    assert wrong["hash"] == quiet["hash"]
    assert said.count("plugins.alert.webhook was no address to post to.") == 1


def block(language):
    text = README.read_text().partition(f"```{language}\n")[2].partition("```")[0]
    assert text
    return text


def test_the_readme_shows_what_happens(tmp_path, nobody):
    (tmp_path / "listen.py").write_text(block("python file=listen.py").replace("8765", str(nobody)))
    script = block("console").replace("8765", str(nobody)).removeprefix("$ ")
    shown = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert '"event": "nexus_stop", "title": "finished"' in shown.stdout
    assert "alert" not in shown.stderr
