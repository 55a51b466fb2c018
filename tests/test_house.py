"""The rules of the house: sizes, who may do what, and what no file may say."""

from __future__ import annotations

import ast
import configparser
import io
import pkgutil
import re
import subprocess
import tokenize
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import nexus_core.testing
from nexus_core import cli, config, plugins
from nexus_core.listeners import HOOKS
from nexus_core.testing.anywhere import compilers
from nexus_core.testing.contract import CONTRACTS
from nexus_core.upkeep import sources

LEDGER_CALL = "ledger.advance"
"""The call that advances the ledger; one call site serves backtest, paper and live."""

ROOT = Path(__file__).resolve().parent.parent
KERNEL = ROOT / "nexus_core"
ROOMS = {"market": 1_500, "steps": 1_500, "cli": 1_000, "upkeep": 700}
KERNEL_LINES, MODULE_LINES = 4_000, 450
UNCOUNTED = {"testing", "templates"}
"""The contract kit is not part of a run, and templates are text for authors."""
FOREIGN = re.compile(r"(?<!\w)/(?:work|root)/|\.\./shared|\bmission\.md")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
SILENT = {
    tokenize.ENCODING,
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Count the lines that hold code: no blank ones, comments, docstrings or other bare strings."""
    bare = {
        (node.lineno, node.col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    lines = source.splitlines()
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in SILENT or token.start in bare:
            continue
        found.update(range(token.start[0], token.end[0] + 1))
    return sum(1 for number in found if lines[number - 1].strip())


def calls(source: str, name: str) -> int:
    """Count the calls of a function or method whose dotted name is, or ends with, `name`."""
    called = (ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return sum(1 for each in called if f".{each}".endswith(f".{name}"))


def undocumented(source: str) -> list[str]:
    """Return the public functions, classes and methods without a docstring, by dotted name."""
    return list(_undocumented(ast.parse(source), ""))


def _undocumented(parent: ast.Module | ast.ClassDef, above: str):
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or any("overload" in ast.unparse(each) for each in node.decorator_list):
            continue
        if ast.get_docstring(node) is None:
            yield f"{above}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node, f"{above}{node.name}.")


def unfinished(source: str) -> list[str]:
    """Return the marks of unfinished work in names and comments."""
    found: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            found += UNFINISHED.findall(token.string)
        if token.type == tokenize.NAME and token.string == "NotImplementedError":
            found.append(token.string)
    return found


def foreign(text: str) -> list[str]:
    """Return what in a text belongs to one machine or one workplace and not to the project."""
    return FOREIGN.findall(text)


def hosts(lock: str) -> set[str]:
    """Return the hosts that a lock file fetches from."""
    return set(re.findall(r"\b[a-z][a-z+.-]*://[^/\"'\s]+", lock))


def distribution(requirement: str) -> str:
    """Return the normalised distribution name of a requirement."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def modules(folder: Path) -> list[Path]:
    """Return the Python modules below a folder that are part of a package, not its tests."""
    skipped = {"tests", "templates", "__pycache__"}
    return [
        path for path in sorted(folder.rglob("*.py")) if not skipped & set(path.relative_to(folder).parts)
    ]


def tracked() -> list[Path]:
    """Return the files that are, or are about to be, under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def packages() -> list[Path]:
    """Return the package folders of the workspace, the kernel's among them."""
    members = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    projects = [project for pattern in members for project in sorted(ROOT.glob(pattern))]
    return [KERNEL] + [path.parent for each in projects for path in each.glob("nexus_*/__init__.py")]


def plugin_projects() -> list[Path]:
    """Return the project files of all plugins, the examples' among them."""
    return [*sorted(ROOT.glob("plugins/*/*/pyproject.toml")), *sorted(ROOT.glob("examples/*/pyproject.toml"))]


def total(paths: list[Path]) -> int:
    return sum(code_lines(path.read_text()) for path in paths)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ("\n\n# a comment\n", 0),
        ('"""A module."""\n', 0),
        ("x = 1  # why\n", 1),
        ('def f():\n    """Say so.\n\n    At length.\n    """\n    return 1\n', 2),
        ('class A:\n    x: int\n    """What x is."""\n', 2),
        ('x = """a\n\nb"""\n', 2),
        ("f(\n    1,\n\n    # why\n    2,\n)\n", 4),
        ('class A: "doc"\n', 1),
        ("x = 1; y = 2\n", 1),
        ('x = f"""a\n{1}\nb"""\n', 3),
    ],
)
def test_code_lines(source, lines):
    assert code_lines(source) == lines


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("a.f(1)", 1),
        ("self.a.f(a.f(2))", 2),
        ("a.f", 0),
        ("f(1)", 0),
        ("b.f(1)", 0),
        ("ba.f(1)", 0),
        ("a.ff(1)", 0),
        ("'a.f(1)'  # a.f(1)", 0),
    ],
)
def test_calls(source, count):
    assert calls(source, "a.f") == count


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import numba\nnumba.njit(f)", {"njit"}),
        ("import numba as nb\n@nb.core.jit\ndef f(): ...", {"jit"}),
        ("import numba.core\nnumba.cfunc(f)", {"cfunc"}),
        ("from numba import njit as fast", {"njit"}),
        ("from numba.experimental import jitclass", {"jitclass"}),
        ("from numba import types", set()),
        ("jit = settings.jit", set()),
        ("# numba.njit", set()),
    ],
)
def test_compilers(source, names):
    assert compilers(source) == names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(): ...", ["f"]),
        ("def _f(): ...", []),
        ("def f():\n    'Do.'\n    def inner(): ...", []),
        ("class A:\n    def g(self): ...\n    def __init__(self): ...", ["A", "A.g"]),
        ("class _A:\n    def g(self): ...", []),
        ("@overload\ndef f(): ...\n@typing.overload\ndef f(): ...", []),
        ("async def f(): ...", ["f"]),
    ],
)
def test_undocumented(source, names):
    assert undocumented(source) == names


def test_unfinished():
    assert unfinished("x = 1  # TODO: y\nraise NotImplementedError\n# FIXME XXX\n") == [
        "TODO",
        "NotImplementedError",
        "FIXME",
        "XXX",
    ]
    assert unfinished("x = 'TODO'  # TODOS\n") == []


def test_foreign():
    assert len(foreign("see /work/x and (/root/y), ../shared/z, mission.md")) == 4
    assert foreign("framework/rooted, docs/work/x.md, permission.md, the work and the root") == []


def test_hosts():
    assert hosts('url = "https://a.b/c"\nurl = "git+ssh://x@y/z"') == {"https://a.b", "git+ssh://x@y"}


@pytest.mark.parametrize(
    "requirement", ["a-b", "A_b>=1", "a.B[x]~=2; python_version > '3'", "a-b @ file:///x"]
)
def test_distribution(requirement):
    assert distribution(requirement) == "a-b"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_keeps_to_its_size(room):
    assert total(modules(KERNEL / room)) <= ROOMS[room]


def test_the_kernel_keeps_to_its_size():
    apart = UNCOUNTED | set(ROOMS)
    inside = [path for path in modules(KERNEL) if path.relative_to(KERNEL).parts[0] not in apart]
    assert total(inside) <= KERNEL_LINES


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.name)
def test_no_module_is_too_long(package):
    sizes = {str(path.relative_to(ROOT)): code_lines(path.read_text()) for path in modules(package)}
    assert {name: lines for name, lines in sizes.items() if lines > MODULE_LINES} == {}


def test_one_call_site_advances_the_ledger():
    sites = {path: calls(path.read_text(), LEDGER_CALL) for path in modules(KERNEL)}
    assert sum(sites.values()) == 1, {name: count for name, count in sites.items() if count}


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.name)
def test_only_one_module_compiles(package):
    used = {path: found for path in modules(package) if (found := compilers(path.read_text()))}
    assert set(used) <= {KERNEL / "compile.py"}


def test_every_room_has_its_layer():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    named = set(re.findall(r"\w+", contracts["importlinter:contract:kernel"]["layers"]))
    rooms = {path.stem for path in KERNEL.glob("*.py")} | {
        path.parent.name for path in KERNEL.glob("*/__init__.py")
    }
    assert rooms - {"__init__", "__main__"} <= named


def test_every_package_is_under_the_import_rules():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    names = {path.name for path in packages()}
    assert set(contracts["importlinter"]["root_packages"].split()) == names
    assert set(re.findall(r"\w+", contracts["importlinter:contract:packages"]["layers"])) == names
    libraries = {path.name for path in packages() if path.is_relative_to(ROOT / "libs")}
    plugins = names - libraries - {"nexus_core"}
    assert set(contracts["importlinter:contract:plugins"]["modules"].split()) == plugins
    assert set(contracts["importlinter:contract:libraries"]["source_modules"].split()) == libraries


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.name)
def test_every_package_is_typed(package):
    assert (package / "py.typed").is_file()


@pytest.mark.parametrize("project", plugin_projects(), ids=lambda path: path.parent.name)
def test_no_plugin_depends_on_another(project):
    plugins = {tomllib.loads(path.read_text())["project"]["name"] for path in plugin_projects()}
    needed = tomllib.loads(project.read_text())["project"]["dependencies"]
    assert plugins & {distribution(each) for each in needed} == set()


@pytest.mark.parametrize("path", modules(KERNEL), ids=lambda path: str(path.relative_to(KERNEL)))
def test_everything_public_in_the_kernel_is_documented(path):
    assert undocumented(path.read_text()) == []


def test_code_is_finished():
    found = {
        path: marks for path in tracked() if path.suffix == ".py" and (marks := unfinished(path.read_text()))
    }
    assert found == {}


def test_files_speak_of_the_project_alone():
    found: dict[Path, list[str]] = {}
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if path != Path(__file__) and foreign(text):
            found[path] = foreign(text)
    assert found == {}


def test_the_lock_fetches_only_from_the_public_index():
    assert hosts((ROOT / "uv.lock").read_text()) == {"https://pypi.org", "https://files.pythonhosted.org"}


def test_every_setting_is_read_somewhere_or_named_as_unread():
    rooms = [path for path in (ROOT / "nexus_core").rglob("*.py") if path.name != "config.py"]
    text = "\n".join(path.read_text() for path in [*rooms, *(ROOT / "plugins").rglob("nexus_*/*.py")])
    for each in sources.describe():
        name = each.key.partition(".")[2]
        if each.bounds == each.default:  # there is nothing to choose
            continue
        read = re.search(rf"\.{name}\b|\"{name}\"", text) is not None
        assert read != (each.key in config.UNREAD), each.key


def check_numbers() -> list[str]:
    """Return the numbers of all checks, from whichever modules lay them down."""
    for module in pkgutil.iter_modules(nexus_core.testing.__path__):
        if module.name != "__main__":
            import_module(f"nexus_core.testing.{module.name}")
    return sorted({each.number for checks in CONTRACTS.values() for each in checks})


def written_tests() -> str:
    """Return the text of the kernel's tests, without this module's."""
    paths = sorted((ROOT / "tests").glob("test_*.py"))
    return "\n".join(path.read_text() for path in paths if path != Path(__file__))


def heads(page: str) -> list[str]:
    """Return the headings of the second level of a page of the documents."""
    return re.findall(r"^## (.+)$", (ROOT / "docs" / page).read_text(), re.M)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test_of_its_name(hook):
    assert re.search(rf"\bdef test_{hook}(_\w+)?\(", written_tests())


@pytest.mark.parametrize("number", check_numbers())
def test_every_check_has_a_test_that_names_it(number):
    assert re.search(rf"\b(NX-)?{number.removeprefix('NX-')}\b", written_tests())


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_in_the_documents(hook):
    assert hook in heads("reference/hooks.md")


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_entry_point_group_is_in_the_documents(kind):
    assert f"nexus.{kind}" in heads("reference/groups.md")
    assert f"`nexus.{kind}`" in (ROOT / "docs/concepts/plugins.md").read_text()


@pytest.mark.parametrize("number", check_numbers())
def test_every_check_is_in_the_documents(number):
    assert f"| {number} |" in (ROOT / "docs/reference/checks.md").read_text()


@pytest.mark.parametrize("command", cli.KERNEL)
def test_every_command_of_the_kernel_is_in_the_documents(command):
    assert f"nexus {command}" in heads("reference/commands.md")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.stem
)
def test_links_between_documents_lead_somewhere(page):
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, place = link.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), link
        if place:
            titles = re.findall(r"^#+ (.+)$", there.read_text(), re.M)
            assert place in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in titles}, link
