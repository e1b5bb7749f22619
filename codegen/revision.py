"""Which code an algorithm generates: part of what makes two samples of one candidate comparable.

An algorithm's code is decided by the module of its class and all that it imports, transitively, of this package and of
the algorithm's own; by the modules that make its engine's programs of it, with what they import; and by the C
files of the runtime that these name. Modules count by their syntax: comments, docstrings and layout change nothing.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from codegen.algorithm import Algorithm, algorithm_named
from codegen.engine_registry import engine_named
from codegen.errors import ScheduleError
from codegen.operators.side_by_side import members_of
from codegen.schedule import Candidate

PACKAGE = "codegen"
OWN = Path(__file__).parent
RUNTIME = "engines/cpu/runtime"
DIGITS = 16  # hexadecimal, of SHA-256
_PARSER = Lock()  # trees made by several threads at once end in a SystemError of Python 3.11
BUNDLE_MODULE = "codegen.bundle.compiler"


def algorithm_revision(algorithm: Algorithm) -> str:
    """The revision of an algorithm as it is installed; raises ScheduleError where its class has no source file."""
    return revision_of(type(algorithm).__module__, algorithm.engine)


def candidate_revision(candidate: Candidate, algorithms: Mapping[str, Algorithm]) -> str:
    """The revision of a candidate's algorithm, with those of its members where it is of several layers; raises as
    `algorithm_revision`.
    """
    own = algorithm_revision(algorithms[candidate.choice.algorithm])
    members = members_of(candidate)
    if members == (candidate,):
        return own
    return _digest((own, *(algorithm_revision(algorithms[one.choice.algorithm]) for one in members)))


@cache
def bundle_revision(algorithms: frozenset[str], package: Path = OWN) -> str:
    """The revision of a whole network's code: of its algorithms, by name, and of what makes a bundle of them: their
    engines, section by section, and what composes these.
    """
    chosen = [algorithm_named(name) for name in sorted(algorithms)]
    engines = {type(engine_named(algorithm.engine)).__module__ for algorithm in chosen}
    revisions = (
        f"{algorithm.name} {revision_of(type(algorithm).__module__, algorithm.engine, package)}"
        for algorithm in chosen
    )
    makers = (_text_of(module, package) for module in (BUNDLE_MODULE, *sorted(engines)))
    return _digest((*revisions, *makers))


def _text_of(module: str, package: Path) -> str:
    return _Sources(package, module.partition(".")[0]).text((module,))


@cache
def revision_of(module: str, engine: str, package: Path = OWN) -> str:
    """The revision of the algorithms that a module defines; `package` is where this package's sources are."""
    sources = _Sources(package, module.partition(".")[0])
    if sources.place(module) is None:
        raise ScheduleError(
            f"module {module!r} of an algorithm has no source file: define the class in a file *.py"
        )
    maker = engine_named(engine)
    return _digest((sources.text((module, *maker.program_modules), maker.program_files),))


@dataclass(frozen=True)
class _Module:
    """One source: the digest of its code, what it imports, and its strings that may name a file."""

    digest: str
    imports: frozenset[str]
    strings: frozenset[str]


class _Sources:
    """Modules of this package, wherever it is, and of one other top-level package."""

    def __init__(self, package: Path, other: str) -> None:
        self._package = package
        self._other = other

    def place(self, module: str) -> Path | None:
        """Where a module's source is; None for a module of other packages, or none at all."""
        top, *rest = module.split(".")
        if top not in (PACKAGE, self._other):
            return None
        return _place(top, tuple(rest), self._package if top == PACKAGE else None)

    def text(self, modules: Iterable[str], files: Iterable[str] = ()) -> str:
        """Modules with all that they import, and files of the runtime with all that the modules name: a line each,
        in the order of names."""
        found = self._imported(modules)
        strings = set(files).union(*(module.strings for module in found.values()))
        runtime = self._package / RUNTIME
        named = sorted(path for path in runtime.iterdir() if path.name in strings)
        lines = [f"{name} {module.digest}" for name, module in sorted(found.items())]
        return "\n".join((*lines, *(f"{path.name} {_file_digest(path)}" for path in named)))

    def _imported(self, modules: Iterable[str]) -> dict[str, _Module]:
        found: dict[str, _Module] = {}
        due = list(modules)
        while due:
            name = due.pop()
            path = None if name in found else self.place(name)
            if path is not None:
                found[name] = _parsed(path)
                due += found[name].imports
        return found


@cache
def _place(top: str, rest: tuple[str, ...], package: Path | None) -> Path | None:
    spec = None if package else find_spec(top)
    if spec and spec.origin and not rest:
        return Path(spec.origin)
    for root in (package,) if package else map(Path, (spec and spec.submodule_search_locations) or ()):
        base = root.joinpath(*rest)
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def _parsed(path: Path) -> _Module:
    reader = _Reader()
    with _PARSER:
        tree = ast.parse(path.read_bytes(), str(path))
    code = reader.plain(tree)
    return _Module(_digest((repr(code),)), frozenset(reader.imports), frozenset(reader.strings))


class _Reader:
    """Goes once through a module; notes what it imports and its strings that may name a file."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.strings: set[str] = set()

    def plain(self, node: object) -> object:
        """A syntax tree as tuples, without places, strings that only stand there, and fields that say nothing:
        versions of Python differ in those."""
        if isinstance(node, list):
            return tuple([self.plain(one) for one in node if not _only_stands_there(one)])
        if not isinstance(node, ast.AST):
            return node
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node.value.endswith((".c", ".h")):
                self.strings.add(node.value)
            return "Constant", node.value
        if isinstance(node, ast.Import):
            self.imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            self.imports.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        said: list[object] = [type(node).__name__]
        for name in node._fields:
            value = getattr(node, name, None)
            if name != "ctx" and value is not None and value != []:
                said.append((name, value if type(value) is str else self.plain(value)))
        return tuple(said)


def _only_stands_there(statement: object) -> bool:
    """A docstring, or any other constant that is a statement."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@cache
def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]
