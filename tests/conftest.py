"""Options of the whole test suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from microbench.emulation.emulator import why_no_counting
from microbench.inner_loops.disassembly import why_no_disassembler
from microbench.inner_loops.pipeline_model import why_no_simulator
from tests.explorer.command_line import why_no_namespace
from tests.microbench.local_runner import why_no_emulator
from tests.microbench.loopback_sshd import why_no_server
from tests.microbench.postgresql_server import why_no_postgresql
from tests.microbench.small_disk import why_no_small_disk

SHARED = Path(__file__).parents[1].parent / "shared"
SLOW = "slow; give --slow to run it"

settings.register_profile("shared machine", deadline=None)  # others' load is no defect of the code
settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="run tests marked slow too (cross compilers, whole networks)"
    )
    parser.addoption(
        "--strict-skips", action="store_true", help="fail when a test was skipped that this machine could run"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds; runs only with --slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason=SLOW)
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --strict-skips, a skip whose capability the probes find here is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("--strict-skips") or reporter is None:
        return
    reasons = {str(report.longrepr[2]) for report in reporter.stats.get("skipped", [])}
    unexcused = sorted(reason for reason in reasons if not _excused(reason))
    if unexcused:
        reporter.write_line(
            f"skipped although this machine has what they need: {'; '.join(unexcused)}", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _excused(reason: str) -> bool:
    if SLOW in reason:
        return True
    if "shared" in reason or "beside the project" in reason:
        return not SHARED.is_dir()
    missing = (
        why_no_server(),
        why_no_emulator(),
        why_no_namespace(),
        why_no_postgresql(),
        why_no_small_disk(),
        why_no_disassembler(),
        why_no_simulator(),
        why_no_counting("qemu-arm"),
        why_no_counting("qemu-aarch64"),
    )
    return any(excuse is not None and excuse in reason for excuse in missing)
