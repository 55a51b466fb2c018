"""What is compiled, what is cached, and that plain Python gives the same bits."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nexus_core import compile, steps
from nexus_core.cli.compile import prune
from nexus_core.errors import NexusError
from nexus_core.steps import Tool

# -- a package of somebody else's, run in processes of their own ------------------------------------

TOOLS = """
import numpy as np
from nexus_core.compile import step
from nexus_core.steps import Tool, record
from tiny import deep

GAIN = 2.0
TABLE = np.array([1.0, 3.0])


@step
def scaled(x, power=1.0):
    return deep.shifted(GAIN * x) * TABLE[1] * power


def kept():
    return record(x=0.0)


def _push(state, x):
    state.x = scaled(x)
    return state.x


keep = Tool(kept, _push)
"""
DEEP = """
from nexus_core.compile import step


@step
def shifted(x):
    return x + 1.0
"""
SPARE = "def unused(x):\n    return x\n"
STRATEGY = """
from nexus_core.strategy import Strategy
from tiny import tools


class Tiny(Strategy):
    nexus_api = 1
    category = "breakout"

    @staticmethod
    def state(params):
        return {"kept": tools.keep(), "last": 0.0}

    @staticmethod
    def step(row, state, params):
        state.last = tools.keep.push(state.kept, row.close)
        return 0, 0.0
"""
RUN = """
import numpy as np
from nexus_core.records import ROW
from nexus_core.market.loops import StrategyLoop
from tiny.strategy import Tiny

loop = StrategyLoop("tiny", Tiny(), 1)
rows = np.zeros(1, ROW)
rows["close"] = 10.0
loop.run(rows, np.array([0]), np.array([1]), np.zeros(1, np.int8), np.zeros(1))
print(loop.states["own"]["last"][0])
"""


@pytest.fixture
def tiny(tmp_path):
    package = tmp_path / "code" / "tiny"
    package.mkdir(parents=True)
    files = {"__init__": "", "tools": TOOLS, "deep": DEEP, "strategy": STRATEGY, "spare": SPARE}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return package


def python(text, **env):
    """Run a program in a new process whose environment holds nothing but what is given."""
    keep = {"PYTHONDONTWRITEBYTECODE": "1", "NEXUS_JIT": "1"}
    if sys.platform == "win32":
        keep["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text)]
    done = subprocess.run(command, env={**keep, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def run_tiny(package):
    cache = package.parent.parent / "cache"
    return float(python(RUN, PYTHONPATH=str(package.parent), NEXUS_CACHE_DIR=str(cache)).stdout)


def machine_code(package):
    cache = package.parent.parent / "cache"
    return {
        path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.suffix in (".nbi", ".nbc", ".py")
    }


def edit(package, file, old, new):
    path = package / f"{file}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_second_process_compiles_nothing(tiny):
    assert run_tiny(tiny) == 63.0  # (2 * 10 + 1) * 3
    written = machine_code(tiny)
    assert {path.suffix for path in written} == {".py", ".nbi", ".nbc"}
    edit(tiny, "spare", "return x", "return 2 * x")  # reached by no step
    assert run_tiny(tiny) == 63.0
    assert machine_code(tiny) == written


def test_an_edit_of_a_tool_in_another_module_is_seen_by_the_next_process(tiny):
    assert run_tiny(tiny) == 63.0
    edit(tiny, "deep", "x + 1.0", "x + 2.0")
    assert run_tiny(tiny) == 66.0
    edit(tiny, "tools", "GAIN = 2.0", "GAIN = 3.0")
    assert run_tiny(tiny) == 96.0
    edit(tiny, "deep", "x + 2.0", "x + 1.0")
    edit(tiny, "tools", "GAIN = 3.0", "GAIN = 2.0")
    edit(tiny, "tools", "state.x = scaled(x)", "state.x = -scaled(x)")
    assert run_tiny(tiny) == -63.0
    edit(tiny, "tools", "state.x = -scaled(x)", "state.x = scaled(x)")
    written = machine_code(tiny)
    assert run_tiny(tiny) == 63.0
    assert machine_code(tiny) == written  # back at what was compiled first


@pytest.mark.parametrize("variable", ["NEXUS_CACHE_DIR", "XDG_CACHE_HOME"])
@pytest.mark.skipif(sys.platform != "linux", reason="names the variables of Linux")
def test_without_home_and_with_no_folder_to_write_it_runs_with_one_warning(tiny, tmp_path, variable):
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    unwritable = {variable: str(tmp_path / "file" / "below"), "TMPDIR": str(tmp_path / "temporary")}
    done = python(RUN, PYTHONPATH=str(tiny.parent), **unwritable)
    assert done.stdout == "63.0\n"
    assert done.stderr.count("\n") == 1
    assert "no folder for compiled code can be written; set NEXUS_CACHE_DIR" in done.stderr
    assert list((tmp_path / "temporary").iterdir()) == []


BITS = """
import numpy as np
from nexus_core import compile, steps
from nexus_core.cli.compile import prune
from nexus_core.records import ROW
from nexus_core.market.loops import StrategyLoop
from nexus_core.strategy import Param, Strategy

MIX = np.uint64(0x9E3779B97F4A7C15)
PAIR = np.dtype([("mean", "f8"), ("size", "i8")])


class Nested(Strategy):
    nexus_api = 1
    category = "breakout"
    window = Param(9, low=1, high=99, help="Rows")

    @staticmethod
    def state(params):
        inner = steps.record(std=steps.rolling_std(params.window), low=steps.rolling_min(params.window))
        pairs, one = np.zeros(4, PAIR), np.array(1, np.uint64)
        return {"inner": inner, "pairs": pairs, "hash": one, "n": 1, "ratio": 0.0}

    @staticmethod
    def step(row, state, params):
        deviation = steps.rolling_std.push(state.inner.std, row.close)
        low = steps.rolling_min.push(state.inner.low, row.close)
        state.hash = (state.hash ^ np.uint64(row.seq)) * MIX
        state.n = state.n * 3 + row.seq
        pair = state.pairs[state.n & 3]
        pair.size += 1
        pair.mean += (row.close - pair.mean) / pair.size
        state.pairs[3] = state.pairs[0]
        state.ratio = (row.close - low) / deviation
        inverse = 1.0 / steps.squash(row.close - low)
        score = steps.tanh(abs(state.ratio)) if inverse > 1.5 else steps.exp(-state.ratio)
        return (1 if row.close > low else -1), score


rng = np.random.default_rng(8)
rows = np.zeros(200, ROW)
rows["seq"] = np.arange(200)
rows["close"] = np.round(100 + np.cumsum(rng.normal(size=200)), 1)
rows["close"][50:70] = 100.0
loop = StrategyLoop("nested", Nested(), 1)
signals, scores = np.zeros(200, np.int8), np.zeros(200)
loop.run(rows, np.array([0]), np.array([200]), signals, scores)
loop.states["own"]["ratio"][np.isnan(loop.states["own"]["ratio"])] = np.nan
print(compile.JIT, loop.code, loop.faults(), *(a.tobytes().hex() for a in (signals, scores, loop.states)))
"""


def test_a_strategy_with_nested_state_gives_the_same_bits_compiled_and_plain(tmp_path):
    cache = str(tmp_path / "cache")
    compiled, plain = (python(BITS, NEXUS_JIT=jit, NEXUS_CACHE_DIR=cache).stdout.split() for jit in "10")
    assert (compiled.pop(0), plain.pop(0)) == ("True", "False")
    assert compiled == plain
    assert int(plain[1]) > 0  # 0 / 0 was met


# -- arithmetic and records, in whatever mode the tests run -----------------------------------------


def run(text, *arguments, **bindings):
    return compile.call(compile.entry("test", textwrap.dedent(text), bindings), *arguments)


def test_division_by_zero_and_overflow_follow_the_same_rules_in_both_modes():
    text = """
    def entry(x, n, u, out, whole, natural):
        out[0] = x[1] / x[0]
        out[1] = -x[1] / x[0]
        out[2] = x[0] / x[0]
        out[3] = x[2] * x[2]
        out[4] = n[0] / n[1]
        whole[0] = n[0] + n[0]
        whole[1] = n[0] * n[2]
        natural[0] = u[0] * u[0]
        natural[1] = u[1] - u[2]
    """
    x, n = np.array([0.0, 1.0, 1e200]), np.array([2**63 - 1, 0, 3])
    u = np.array([2**64 - 1, 0, 1], np.uint64)
    out, whole, natural = np.zeros(5), np.zeros(2, np.int64), np.zeros(2, np.uint64)
    run(text, x, n, u, out, whole, natural)
    assert np.array_equal(out, [np.inf, -np.inf, np.nan, np.inf, np.inf], equal_nan=True)
    assert whole.tolist() == [-2, 2**63 - 3]
    assert natural.tolist() == [1, 2**64 - 1]


METHODS = np.dtype([(n, "f8") for n in ("mean", "min", "item")] + [(n, "i8") for n in ("size", "shape", "T")])


def test_fields_may_be_named_like_an_arrays_methods():
    text = """
    def entry(records):
        total = 0.0
        for i in range(records.size):
            r = records[i]
            r.mean = r.min + r.size
            r.T += r.shape
            total += r.mean + r.item
        return total + len(records) + records.shape[0]
    """
    records = np.zeros(2, METHODS)
    records["min"], records["size"], records["shape"], records["item"] = [1.5, 2.5], [3, 4], 7, 0.25
    assert run(text, records) == 4.5 + 6.5 + 0.5 + 4
    assert records["mean"].tolist() == [4.5, 6.5]
    assert records["T"].tolist() == [7, 7]


def test_records_in_records_and_arrays_of_them_are_changed_in_place():
    inner = np.dtype([("n", "i8"), ("x", "f8")])
    outer = np.zeros(3, [("one", inner), ("many", inner, (4,)), ("numbers", "f8", (2,))])
    text = """
    def entry(outer):
        for i in range(outer.size):
            state = outer[i]
            state.one.n += i
            state.many[2].x = 0.5 + state.one.n
            state.many[3] = state.many[2]
            state.numbers[1] = state.many.size
        outer[0] = outer[2]
        rest = outer[1:]
        rest[0].one.x = rest.size
    """
    run(text, outer)
    assert outer["one"]["n"].tolist() == [2, 1, 2]
    assert outer["one"]["x"].tolist() == [0.0, 2.0, 0.0]
    assert outer["many"]["x"].tolist() == [[0.0, 0.0, 2.5, 2.5], [0.0, 0.0, 1.5, 1.5], [0.0, 0.0, 2.5, 2.5]]
    assert outer["numbers"].tolist() == [[0.0, 4.0]] * 3


# -- entries and the hash of what they depend on ----------------------------------------------------

ADD = """
def entry(x):
    return x + GAIN
"""


def test_the_same_text_over_the_same_bindings_is_the_same_entry():
    one, same, other = (compile.entry("add", ADD, {"GAIN": gain}) for gain in (1, 1, 2))
    assert one is same
    assert one is not other
    assert (compile.call(one, 1), compile.call(other, 1)) == (2, 3)


BASE = """
import math
import numpy as np
GAIN = 2.0
TABLE = np.array([1.0, 2.0])
class Side:
    BUY = 1
def deep(x):
    return x + 1.0
def apart(x):
    return x - 1.0
def unused(x):
    return x
def make(shift):
    def inner(x):
        return x * shift
    return inner
inner = make(3.0)
alias = deep
PAIR = (TABLE * 3.0, 4)
def main(x, power=1.0):
    y = deep(x) * GAIN + TABLE[0] + Side.BUY + inner(x) * power + apart(x) + alias(x) + PAIR[1]
    return [math.sqrt(z + 7.0) for z in (y,) if z not in {8.0, 9.0}][0]
"""


def closure_of(text):
    module = {"__name__": "made"}
    exec(text, module)
    return compile.closure(module["main"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("deep(x) * GAIN", "deep(x) / GAIN"),
        ("return x + 1.0", "return x + 1.5"),
        ("GAIN = 2.0", "GAIN = 2.5"),
        ("[1.0, 2.0]", "[1.0, 2.5]"),
        ("np.array([1.0, 2.0])", "np.array([1.0, 2.0], np.float32)"),
        ("BUY = 1", "BUY = 2"),
        ("make(3.0)", "make(3.5)"),
        ("return x * shift", "return x / shift"),
        ("power=1.0", "power=1.5"),
        ("z + 7.0", "z + 7.5"),
        ("math.sqrt", "math.exp"),
        ("= deep(x)", "= apart(x)"),
        ("alias = deep", "alias = apart"),
        ("TABLE * 3.0", "TABLE * 3.5"),
        ("{8.0, 9.0}", "{8.0, 9.5}"),
    ],
)
def test_every_edit_that_a_step_can_feel_is_another_hash(old, new):
    assert old in BASE
    assert closure_of(BASE.replace(old, new)) != closure_of(BASE)


@pytest.mark.parametrize(
    ("old", "new"), [("return x\ndef", "return -x\ndef"), ("GAIN = 2.0", "GAIN = 2.0\nODD = 5")]
)
def test_an_edit_that_a_step_cannot_feel_is_the_same_hash(old, new):
    assert closure_of(BASE.replace(old, new)) == closure_of(BASE)


def test_modules_that_import_each_other_end_the_search():
    one, two = ModuleType("one"), ModuleType("two")
    one.two, two.one = two, one
    source = "def main(x):\n    return one.two.deep(x)\ndef deep(x):\n    return x + {}\n"
    hashes = []
    for number in (1, 1, 2):
        exec(source.format(number), two.__dict__)
        hashes.append(compile.closure(two.main))
    assert hashes[0] == hashes[1] != hashes[2]


# -- the folder -------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Forget entries and cache folder, for one test."""
    monkeypatch.setattr(compile, "_entries", {})
    monkeypatch.setattr(compile, "_root", [])
    monkeypatch.setenv("NEXUS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.jit
def test_an_entry_is_warm_once_it_was_called_here_or_in_an_earlier_process(fresh, monkeypatch):
    first = compile.entry("add", ADD, {"GAIN": 5})
    assert not compile.is_warm(first)
    compile.call(first, 1)
    assert compile.is_warm(first)
    monkeypatch.setattr(compile, "_entries", {})  # as a new process has it
    later = compile.entry("add", ADD, {"GAIN": 5})
    assert later is not first
    assert not later.signatures
    assert compile.is_warm(later)


def test_plain_python_is_always_warm(fresh, monkeypatch):
    monkeypatch.setattr(compile, "JIT", False)
    entry = compile.entry("add", ADD, {"GAIN": 6})
    assert compile.is_warm(entry)
    assert compile.call(entry, 1) == 7
    assert not fresh.exists()


def test_prune_deletes_what_was_not_loaded_for_so_many_days(fresh):
    fresh.mkdir()
    for name, days in (("new", 0), ("young", 29), ("old", 31), ("ancient", 400)):
        (fresh / name).mkdir()
        (fresh / name / "code.py").write_text("")
        seen = (fresh / name).stat().st_mtime - days * 86_400
        os.utime(fresh / name, (seen, seen))
    (fresh / "file").write_text("")
    os.utime(fresh / "file", (0, 0))
    assert prune() == 2
    assert {path.name for path in fresh.iterdir()} == {"new", "young", "file"}
    assert prune(days=1) == 1
    assert prune(days=1) == 0


@pytest.mark.jit
def test_loading_an_entry_keeps_its_folder_from_being_pruned(fresh, monkeypatch):
    compile.call(compile.entry("add", ADD, {"GAIN": 7}), 1)
    (folder,) = [path for path in fresh.iterdir() if path.is_dir()]
    os.utime(folder, (0, 0))
    monkeypatch.setattr(compile, "_entries", {})
    compile.entry("add", ADD, {"GAIN": 7})
    assert prune() == 0


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(compile.log, "warning", said.append)
    return said


def test_the_named_folder_is_made_private_and_used(fresh, warnings):
    assert compile.cache_root() == fresh.resolve()
    assert sys.platform == "win32" or fresh.stat().st_mode & 0o077 == 0
    assert warnings == []


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no numbered owner there")
def test_a_folder_of_another_owner_is_not_believed(fresh, warnings, monkeypatch):
    fresh.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: fresh.stat().st_uid + 1)
    root = compile.cache_root()
    assert root != fresh.resolve()
    assert root.is_dir()
    assert len(warnings) == 1
    assert compile.cache_root() == root  # found once, said once
    assert len(warnings) == 1
    root.rmdir()


@pytest.mark.skipif(sys.platform == "win32", reason="the home is not looked for there")
def test_without_any_home_a_private_temporary_folder_serves(fresh, warnings, monkeypatch):
    def nobody():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.delenv("NEXUS_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    root = compile.cache_root()
    assert root.stat().st_mode & 0o077 == 0
    assert len(warnings) == 1
    root.rmdir()


@pytest.mark.skipif(sys.platform != "linux", reason="names the folders of Linux")
def test_the_users_cache_is_used_where_nothing_is_named(fresh, warnings, monkeypatch, tmp_path):
    monkeypatch.delenv("NEXUS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert compile.cache_root() == (tmp_path / "xdg" / "nexus").resolve()
    compile._root.clear()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert compile.cache_root() == (tmp_path / ".cache" / "nexus").resolve()
    assert warnings == []


# -- what the key of compiled code covers -----------------------------------------------------------

CLOSURES = [
    ("import math\ng = math.{}\ndef f(x):\n    return g(x)\n", "sqrt", "exp"),
    ("import numpy as np\ng = np.{}\ndef f(x):\n    return g(x)\n", "floor", "ceil"),
    ("import numpy as np\ng = np.{}\ndef f(x):\n    return g(x)\n", "int32", "int64"),
    ("from functools import partial\ng = partial(pow, {})\ndef f(x):\n    return g(x)\n", "2", "3"),
    ("def g({}):\n    return a - b\ndef f(x):\n    return g(a=x, b=1)\n", "a, b", "b, a"),
    ("def f(x, *, k={}):\n    return x * k\n", "1", "2"),
    (
        "class H:\n  @staticmethod\n  def part(x):\n    return x + {}\ndef f(x):\n  return H.part(x)\n",
        "1",
        "2",
    ),
    ("class A:\n    K = {}\nclass B(A):\n    pass\ndef f(x):\n    return x * B.K\n", "1", "2"),
    ("T = {{'a': [1, {}]}}\ndef f(x):\n    return T['a'][1]\n", "1", "2"),
]


@pytest.mark.parametrize(("source", "before", "after"), CLOSURES)
def test_an_edit_anywhere_in_the_closure_changes_the_hash(source, before, after):
    def closure(word):
        space = {"__name__": "made"}
        exec(source.format(word), space)
        return compile.closure(space["f"])

    assert closure(before) == closure(before)
    assert closure(before) != closure(after)


def test_the_hash_is_the_same_in_every_process():
    code = (
        "from nexus_core import compile\n"
        "KINDS = {'alpha', 'beta', 'gamma', 'delta'}\n"
        "class Thing: pass\n"
        "THING = Thing()\n"
        "def helper(x): return x\n"
        "TABLE = {'h': helper}\n"
        "def f(x, of=helper): return (KINDS, THING, TABLE)\n"
        "print(compile.closure(f))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert len(set(runs)) == 1


@pytest.mark.jit
def test_a_constant_that_changes_in_a_going_process_is_refused(monkeypatch):
    made = ModuleType("made_for_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    exec("K = 1\ndef f(x):\n    return x + K\n", made.__dict__)
    text = "def entry(x):\n    return f(x)  # held\n"
    assert compile.call(compile.entry("holds", text, {"f": made.f}), 1) == 2
    made.K = 2
    with pytest.raises(NexusError, match="K changed in this process"):
        compile.entry("holds", text, {"f": made.f})


# -- records in machine code --------------------------------------------------------------------------------

NAMED = """
import sys
import numpy as np
from nexus_core import compile
from nexus_core.steps import rolling_max

compile.step(lambda x: x)
import numba
for window in map(int, sys.argv[1:]):
    print(numba.from_dtype(np.array([rolling_max(window)]).dtype).mangling_args[1][0])
"""


@pytest.mark.jit
def test_machine_code_names_a_record_by_its_layout_in_every_process():
    # by a number of the process, one of the cache would call what another process compiled for other records
    small, large, both = (
        subprocess.run(
            [sys.executable, "-c", NAMED, *windows], capture_output=True, text=True, check=True
        ).stdout.split()
        for windows in (["4"], ["64"], ["64", "4"])
    )
    assert both == large + small
    assert small != large


def test_a_tool_that_an_entry_names_itself_is_part_of_what_it_depends_on():
    text = "def entry(states, x):\n    return tool.push(states[0], x)\n"
    keys = {
        compile._fingerprint(text, {"tool": Tool(steps.lag.start, push)})
        for push in (lambda state, x: x + 1.0, lambda state, x: x + 2.0)
    }
    assert len(keys) == 2
