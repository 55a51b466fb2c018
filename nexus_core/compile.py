"""The only place that compiles.

A step is a plain function over flat records. With `NEXUS_JIT=0` it stays one; otherwise it is compiled
to machine code when a generated loop around it is first called. The loop is a small file in the cache
folder, in a folder named by the hash of everything its machine code depends on: the code of every
function it reaches, the constants those use, the compiler, and the processor. An edit anywhere in that
closure is another folder, so machine code older than its source is never run.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import numpy as np

from nexus_core import folders, log
from nexus_core.errors import NexusError

JIT = os.environ.get("NEXUS_JIT", "1") != "0"
"""Whether steps are compiled. `NEXUS_JIT=0` runs the same code as plain Python."""

FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "parallel": False, "nogil": True}

Step = Callable[..., Any]

_GENERATED = "nexus_generated_"

_frozen: dict[FunctionType, dict[str, str]] = {}
_entries: dict[str, Step] = {}
_root: list[Path] = []


def step(function: Step) -> Step:
    """Make a step callable from other steps, and from Python. Compiles nothing yet."""
    return _compiled(function) if JIT and isinstance(function, FunctionType) else function


def plain(function: Step) -> Step:
    """Return the Python function behind a step."""
    return getattr(function, "py_func", function)


def entry(name: str, text: str, bindings: Mapping[str, Any]) -> Step:
    """Return the function `entry` of a generated module.

    `text` is the module's source, `bindings` the steps and constants it names. The same text over the
    same closure is loaded from the cache, in this process and in later ones.
    """
    key = _fingerprint(text, bindings)
    if key not in _entries:
        _entries[key] = _load(name, key, text, bindings)
    return _entries[key]


def closure(function: Step) -> str:
    """Return the hash of a step's code and of all it reaches, the same with and without compilation."""
    digest = hashlib.sha256()
    _feed(digest, function, {})
    return digest.hexdigest()


def is_warm(function: Step) -> bool:
    """Tell whether machine code for an entry is in this process or in the cache folder."""
    folder = Path(plain(function).__code__.co_filename).parent
    return not JIT or bool(getattr(function, "signatures", ())) or any(folder.glob("**/*.nbi"))


def call(function: Step, *arguments: Any) -> Any:
    """Call an entry by the rules of compiled code: unsigned integers wrap around, 0/0 is NaN, no warning."""
    if JIT:
        return function(*arguments)
    with np.errstate(all="ignore"):
        return function(*(_seen(each) for each in arguments))


class Fixed:
    """An entry whose every call has arguments of the same types, dtypes and memory layout.

    Looking at the types of thirty arrays costs more than many a call takes; from the second call on they
    are believed. So only callers that own their arrays may use it.
    """

    __slots__ = ("_direct", "function")

    def __init__(self, function: Step) -> None:
        self.function = function
        self._direct: Step | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the entry."""
        if self._direct is not None:
            return self._direct(*arguments)
        result = call(self.function, *arguments)
        if JIT:
            machine: Any = self.function
            # others may share the entry with other types
            types = tuple(machine.typeof_pyval(each) for each in arguments)
            self._direct = machine.overloads[types].entry_point
        return result


def cache_root() -> Path:
    """Return the folder of generated code: `NEXUS_CACHE_DIR`, else the user's cache, else a private one."""
    if not _root:
        _root.append(folders.cache() or _private())
    return _root[0]


def _seen(value: Any) -> Any:
    if isinstance(value, np.void):
        return _Record(value)
    dtype: Any = getattr(value, "dtype", None)
    return _Records(value) if dtype is not None and dtype.names is not None else value


class _Record:
    """One record with its fields as attributes, as compiled code sees it."""

    __slots__ = ("_void",)

    def __init__(self, void: Any) -> None:
        object.__setattr__(self, "_void", void)

    def __getattr__(self, field: str) -> Any:
        try:
            return _seen(self._void[field])
        except ValueError:
            raise AttributeError(field) from None

    def __setattr__(self, field: str, value: Any) -> None:
        self._void[field] = value


class _Records:
    """An array of records that hands out records with attributes, or shorter arrays of them."""

    __slots__ = ("_array", "shape", "size")

    def __init__(self, array: Any) -> None:
        self._array, self.shape, self.size = array, array.shape, array.size

    def __getitem__(self, index: Any) -> Any:
        return _seen(self._array[index])

    def __setitem__(self, index: Any, record: _Record) -> None:
        self._array[index] = object.__getattribute__(record, "_void")

    def __len__(self) -> int:
        return len(self._array)


@cache
def _compiled(function: Step) -> Step:
    return _numba().njit(**FLAGS)(function)


def _numba() -> Any:
    # svml would make a vectorised transcendental differ from the scalar one; it must be off before the import
    os.environ["NUMBA_DISABLE_INTEL_SVML"] = "1"
    import numba

    # Numba names a record by a number of the process: a function from the cache would find, under the name of
    # one it calls, another's that was compiled elsewhere for other records, and write beside its own
    record: Any = numba.types.Record
    record.mangling_args = property(lambda r: ("R", (hashlib.sha256(r.name.encode()).hexdigest(),)))
    # nor is a record taken for another that begins alike
    record.can_convert_to = _no_other
    return numba


def _no_other(_own: Any, _context: Any, _other: Any) -> None:
    """Answer that no other record will do."""


def _load(name: str, key: str, text: str, bindings: Mapping[str, Any]) -> Step:
    module = ModuleType(f"{_GENERATED}{name}_{key}")
    module.__dict__.update({k: step(v) if callable(v) else v for k, v in bindings.items()})
    path = str(_write(cache_root() / key, f"{name}.py", text)) if JIT else f"<generated {name}>"
    exec(compile(text, path, "exec"), module.__dict__)
    if not JIT:
        return module.__dict__["entry"]
    module.__file__ = path
    sys.modules[module.__name__] = module
    return _numba().njit(cache=True, **FLAGS)(module.__dict__["entry"])


def _write(folder: Path, file: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / file
    if not path.exists():  # its time stamp is part of the compiler's key: never touch it again
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as stream:
            stream.write(text)
        os.replace(stream.name, path)
    with suppress(OSError):
        os.utime(folder)
    return path


def _private() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nexus-cache-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    log.warning(
        "no folder for compiled code can be written; set NEXUS_CACHE_DIR, or each start compiles anew"
    )
    return folder.resolve()


# -- what machine code depends on -----------------------------------------------------------------


def _fingerprint(text: str, bindings: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(f"{_toolchain()}\0{text}".encode())
    seen, names = dict[Any, int](), _feed_code(digest, compile(text, "", "exec"))
    for name in sorted(bindings):
        digest.update(name.encode())
        _feed(digest, bindings[name], seen, names)
    return digest.hexdigest()[:24]


def _toolchain() -> str:
    if not JIT:
        return "plain"
    numba = _numba()
    import llvmlite  # pyright: ignore[reportMissingTypeStubs]
    import llvmlite.binding as llvm  # pyright: ignore[reportMissingTypeStubs]

    features = llvm.get_host_cpu_features().flatten()
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__, "records by layout")
    return repr((*versions, llvm.get_host_cpu_name(), features, sorted(FLAGS.items())))


_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, Enum)


def _feed(digest: Any, value: Any, seen: dict[Any, int], names: tuple[str, ...] = ()) -> None:
    thing: Any = plain(getattr(value, "__func__", value))
    if isinstance(thing, FunctionType):
        if _is_new(digest, id(thing), seen):
            _feed_function(digest, thing, seen)
    elif isinstance(thing, _PLAIN):
        digest.update(repr(cast("Any", thing)).encode())
    elif isinstance(thing, np.ndarray):
        array = cast("np.ndarray[Any, Any]", thing)
        digest.update(repr((array.dtype, array.shape)).encode() + array.tobytes())
    elif isinstance(thing, tuple | list | set | frozenset | dict | partial):
        _feed_parts(digest, thing, seen, names)
    else:
        digest.update(_named(thing).encode())
        if _is_new(digest, (id(thing), names), seen):
            for each in thing.__mro__ if isinstance(thing, type) else (thing,):
                _feed_names(digest, getattr(each, "__dict__", {}), seen, names)


def _feed_parts(digest: Any, container: Any, seen: dict[Any, int], names: tuple[str, ...]) -> None:
    parts = _parts(container)
    digest.update(f"{type(container).__name__}({len(parts)}".encode())
    # a tuple may be gone before the next, and its number then means another; it holds itself in no case
    if isinstance(container, tuple) or _is_new(digest, id(container), seen):
        for part in parts:
            _feed(digest, part, seen, names)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, set | frozenset):
        return sorted(map(repr, cast("set[Any]", value)))  # its own order is by chance
    if isinstance(value, dict):
        return [part for item in cast("dict[Any, Any]", value).items() for part in item]
    return [value.func, value.args, value.keywords] if isinstance(value, partial) else list(value)


def _named(value: Any) -> str:
    """Return what tells one thing that is no Python function from another, the same in every process."""
    kind = cast("type[object]", type(value))
    own = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    return f"{kind.__module__}.{kind.__qualname__} {getattr(value, '__module__', '')}.{own}"


def _is_new(digest: Any, key: Any, seen: dict[Any, int]) -> bool:
    # a name bound to another function than before is an edit, also where both were seen already
    is_new = key not in seen
    digest.update(f"#{seen.setdefault(key, len(seen))}".encode())
    return is_new


def _feed_function(digest: Any, function: FunctionType, seen: dict[Any, int]) -> None:
    if not function.__module__.startswith(_GENERATED):
        digest.update(function.__module__.encode())  # machine code in the cache names it
    names = _feed_code(digest, function.__code__)
    _feed(digest, (function.__defaults__, function.__kwdefaults__), seen, names)
    if JIT:
        _freeze(function, names)
    _feed_names(digest, function.__globals__, seen, names)
    for cell in function.__closure__ or ():
        _feed(digest, cell.cell_contents, seen, names)


def _freeze(function: FunctionType, names: tuple[str, ...]) -> None:
    # compiled code holds the constants it was compiled with: under a newer key it would outlive them
    space = function.__globals__
    now = {name: repr(space[name]) for name in names if name in space and isinstance(space[name], _PLAIN)}
    before = _frozen.setdefault(function, now)
    if before != now:
        changed = ", ".join(sorted(name for name in {**before, **now} if before.get(name) != now.get(name)))
        raise NexusError(
            f"{function.__module__}.{function.__qualname__}: {changed} changed in this process, and compiled "
            "code holds what it was. Start a new process."
        )


def _feed_names(digest: Any, space: Mapping[str, Any], seen: dict[Any, int], names: tuple[str, ...]) -> None:
    for name in names:
        if name in space and not name.startswith("__"):
            digest.update(name.encode())
            _feed(digest, space[name], seen, names)


def _feed_code(digest: Any, code: CodeType) -> tuple[str, ...]:
    digest.update(code.co_code)
    digest.update(repr(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]).encode())
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _feed_code(digest, constant)
        else:
            digest.update(repr(_parts(constant) if isinstance(constant, frozenset) else constant).encode())
    digest.update(repr(names).encode())
    return tuple(dict.fromkeys(names))
