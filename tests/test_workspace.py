"""The workspace: what each member's project file promises is true, and all members agree."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


CORE = project(ROOT)
MEMBERS = [
    each for pattern in CORE["tool"]["uv"]["workspace"]["members"] for each in sorted(ROOT.glob(pattern))
]
every_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda path: str(path.relative_to(ROOT)))
everyone = pytest.mark.parametrize(
    "member", [ROOT, *MEMBERS], ids=lambda path: project(path)["project"]["name"]
)


def package(member: Path) -> str:
    return project(member)["project"]["name"].replace("-", "_")


def bound(source: str) -> set[str]:
    """Return the names that a module binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {(each.asname or each.name).partition(".")[0] for each in node.names}
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {
                    each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)
                }
    return names


def promised(member: Path) -> dict[tuple[str, str], str]:
    """Return the entry points and scripts of a project file: (group, name) to the object's reference."""
    table = project(member)["project"]
    groups = {**table.get("entry-points", {}), "console_scripts": table.get("scripts", {})}
    return {(group, name): value for group, entries in groups.items() for name, value in entries.items()}


def source_of(member: Path, module: str) -> Path:
    path = member.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_bound():
    plain = "import a.b\nfrom c import d as e\nf: int = 1\ng, (h, i) = x\n"
    source = plain + "class J:\n    k = 1\ndef m():\n    n = 1\n"
    assert bound(source) == {"a", "e", "f", "g", "h", "i", "J", "m"}


def test_the_developers_group_has_every_member():
    names = [re.split(r"[^\w-]", each)[0] for each in CORE["dependency-groups"]["dev"]]
    assert {each for each in names if each.startswith("nexus-")} == {
        project(m)["project"]["name"] for m in MEMBERS
    }


def test_every_member_is_taken_from_the_workspace():
    names = {project(each)["project"]["name"] for each in [ROOT, *MEMBERS]}
    assert CORE["tool"]["uv"]["sources"] == {name: {"workspace": True} for name in names}
    assert set(tomllib.loads((ROOT / "uv.lock").read_text())["manifest"]["members"]) == names


def test_the_standard_set_is_made_of_members():
    names = {project(each)["project"]["name"] for each in MEMBERS}
    assert set(CORE["project"]["optional-dependencies"]["standard"]) <= names


@everyone
def test_what_a_member_offers_is_installed_and_is_there(member):
    offered = promised(member)
    installed = importlib.metadata.distribution(project(member)["project"]["name"]).entry_points
    assert {(each.group, each.name): each.value for each in installed} == offered
    for value in offered.values():
        module, _, name = value.partition(":")
        assert module.partition(".")[0] == package(member)
        assert name in {"", *bound(source_of(member, module).read_text())}, value  # a module is one too


@everyone
def test_versions_agree(member):
    name, version = project(member)["project"]["name"], CORE["project"]["version"]
    assert project(member)["project"]["version"] == version
    assert importlib.metadata.version(name) == version
    locked = {
        each["name"]: each["version"] for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    assert locked[name] == version


@every_member
def test_a_member_needs_this_kernel_and_nothing_newer(member):
    major, minor, _ = map(int, CORE["project"]["version"].split("."))
    assert f"nexus-core>={major}.{minor},<{major}.{minor + 1}" in project(member)["project"]["dependencies"]


@every_member
def test_a_member_is_built_and_licensed_as_the_kernel_is(member):
    assert project(member)["build-system"] == CORE["build-system"]
    for fact in ("license", "requires-python"):
        assert project(member)["project"][fact] == CORE["project"][fact]


@everyone
def test_a_member_says_what_it_is_and_is_typed(member):
    assert (member / package(member) / "py.typed").is_file()
    assert (member / project(member)["project"]["readme"]).read_text().strip()
    assert project(member)["project"]["description"]


def test_the_license_is_the_whole_one():
    text = (ROOT / "LICENSE").read_text()
    for number in range(1, 10):
        assert f"\n   {number}. " in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text
