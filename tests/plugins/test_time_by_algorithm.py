"""A package with a command and a section of reports: `explore` has the one, every report the other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from explorer.report.section import ReportSection
from tests.explorer.run_shapes import MakeRun, make_run, virtual_run
from tests.explorer.section_conformance import ReportSectionConformance
from tests.plugins.installed import PLUGINS, explore_with, install

__all__ = ["make_run", "virtual_run"]


class TestSection(ReportSectionConformance):
    @pytest.fixture
    def section(self, monkeypatch: pytest.MonkeyPatch) -> ReportSection:
        monkeypatch.syspath_prepend(PLUGINS / "time_by_algorithm")
        from time_by_algorithm_section import TimeByAlgorithm

        section: ReportSection = TimeByAlgorithm()
        return section


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return install("time_by_algorithm", tmp_path / "site")


def test_the_command_is_listed_and_shows_a_run(site: Path, tmp_path: Path, make_run: MakeRun) -> None:
    assert "time-by-algorithm" in explore_with(site, "--help", cwd=tmp_path).stdout
    ended = explore_with(site, "time-by-algorithm", make_run(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^qpu_\w+: [\d.]+ \w?s \(simulated\)$", ended.stdout, re.M)
    refused = explore_with(site, "time-by-algorithm", tmp_path / "none", cwd=tmp_path)
    assert refused.returncode == 2 and "RunDataError" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_the_package_there_is_no_such_command(tmp_path: Path) -> None:
    ended = explore_with(tmp_path / "nothing", "time-by-algorithm", tmp_path, cwd=tmp_path)
    assert ended.returncode == 2 and "No such command" in ended.stderr


@pytest.mark.needs("report extra")
def test_the_section_stands_in_the_report(site: Path, tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run()
    ended = explore_with(site, "report", directory, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert page.index("Time by algorithm") > page.index("Summary")
    assert "algorithms_table" in (directory / "report.ipynb").read_text(encoding="utf-8")
    assert "time_by_algorithm_section" not in sys.modules or "algorithms_table" not in page
