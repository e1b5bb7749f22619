from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from explorer.runs.figures import write_figures
from explorer.runs.report import ScatterPoint
from tests.explorer.runs.test_tables import report


def test_names_with_dollars_and_backslashes_are_drawn_as_they_are(tmp_path: Path) -> None:
    run = report()
    step = replace(run.steps[0], name="$\\frac{a$")
    point = ScatterPoint("some_gemm", 1e-3, 2e-3, "simulated")
    paths = write_figures(replace(run, model="$\\x{$", steps=(step,), scatter=(point,)), tmp_path)
    assert [path.name for path in paths] == ["layers.png", "candidates.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
