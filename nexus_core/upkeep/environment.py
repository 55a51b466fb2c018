"""The environment Nexus runs in, changed by pip or uv."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from nexus_core.errors import PluginError
from nexus_core.upkeep import lock
from nexus_core.upkeep.sources import load


def installer(*arguments: str) -> list[str]:
    """Return the command line of pip, else of uv, for this environment; nothing where neither is there."""
    if find_spec("pip"):
        # it asks before it removes, uv does not
        unasked = ["--yes"] if arguments[0] == "uninstall" else []
        return [sys.executable, "-m", "pip", *arguments, *unasked]
    uv = which("uv")
    return [uv, "pip", *arguments, "--python", sys.executable] if uv else []


def change(arguments: list[str], links: Path | None = None, alone: bool = False) -> None:
    """Install, upgrade or remove, as the arguments of pip say, and renew the lock if there is one."""
    what, line = " ".join(arguments), installer(*arguments)
    if not line:
        advice = f"Install one of them; this gives it pip: {sys.executable} -m ensurepip"
        raise PluginError(f"{sys.prefix}: has no pip, and there is no uv to be found. {advice}")
    line += ["--find-links", str(links.resolve())] if links else []
    line += ["--no-index"] if alone else []
    if subprocess.run(line, stdout=sys.stderr, check=False).returncode:
        raise PluginError(f"{what}: did not succeed; the reason stands above.")
    if Path("nexus.toml").exists() or lock.beside(load().path).exists():
        # a new process: this one still sees what was installed when it began
        renew = [sys.executable, "-m", "nexus_core", "plugins", "lock"]
        if subprocess.run(renew, check=False).returncode:
            raise PluginError(f"{what}: done, but the lock is not renewed; see above.")
