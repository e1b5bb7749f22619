"""Each package imports only from lower floors or from itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOORS = ("codegen", "microbench", "cost_models", "explorer")
ROOT = Path(__file__).parents[1]


def imported_modules(source: str) -> Iterator[str]:
    """Every module that a source imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module or ""


def violations(package: str, source: str) -> set[str]:
    """Modules of higher floors, and of the tests, that a source of this package imports."""
    allowed = FLOORS[: FLOORS.index(package) + 1]
    forbidden = (*(name for name in FLOORS if name not in allowed), "tests")
    return {module for module in imported_modules(source) if module.split(".")[0] in forbidden}


@pytest.mark.parametrize("package", FLOORS)
def test_no_package_imports_a_higher_floor(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {str(p.relative_to(ROOT)): violations(package, p.read_text(encoding="utf-8")) for p in files}
    assert {name: modules for name, modules in found.items() if modules} == {}


def test_a_violation_is_seen_wherever_it_hides() -> None:
    source = "def f():\n    from explorer.search.search import search\n    import cost_models.model as m\n"
    assert violations("codegen", source) == {"explorer.search.search", "cost_models.model"}
    assert violations("cost_models", source) == {"explorer.search.search"}
    assert violations("explorer", source) == set()


def test_bundles_know_of_engines_only_how_c_text_is_written_and_compiled() -> None:
    found = {
        module
        for path in (ROOT / "codegen" / "bundle").glob("*.py")
        for module in imported_modules(path.read_text(encoding="utf-8"))
        if module.startswith("codegen.engines")
    }
    assert found == {"codegen.engines.cpu.source", "codegen.engines.cpu.toolchain"}
