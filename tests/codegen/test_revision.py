from __future__ import annotations

from pathlib import Path

from codegen.revision import generator_revision, revision_of


def test_revision_changes_with_kernels_and_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "engines" / "kernels").mkdir(parents=True)
    kernel = tmp_path / "engines" / "kernels" / "gemm.py"
    kernel.write_text("first")
    first = revision_of(tmp_path)
    (tmp_path / "plan.py").write_text("not a generator")
    (tmp_path / "engines" / "notes.txt").write_text("not code")
    assert revision_of(tmp_path) == first
    kernel.write_text("second")
    assert revision_of(tmp_path) != first


def test_installed_generator_has_a_revision() -> None:
    assert len(generator_revision()) == 16
    assert generator_revision() != revision_of(Path("nowhere"))
