"""Options of the whole test suite."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from tests.capabilities import missing_requirements, need, unexcused

SLOW = "slow; give --slow to run it"
SLOW_LIMIT_S = 1800.0  # for a test; the others have that of pyproject.toml

# Others' load is no defect of the code. A change is judged by the same examples each time; new ones are the slow
# suite's.
settings.register_profile("same examples", deadline=None, derandomize=True)
settings.register_profile("new examples", deadline=None)
settings.load_profile("same examples")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="run tests marked slow too (cross compilers, whole networks)"
    )
    parser.addoption(
        "--renew-golden", action="store_true", help="write tests/golden anew from what is generated now"
    )
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="fail where tests/capabilities.py does not let this machine skip a test",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell in the background ignores interrupts, and so would the programs that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: takes more than a few seconds; runs only with --slow")
    config.addinivalue_line("markers", "needs(*names): capabilities of tests/capabilities.py")
    missing = missing_requirements() if config.getoption("--strict-skips") else []
    if missing:
        raise pytest.UsageError("this machine lacks what tests need:\n  " + "\n  ".join(missing))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" not in item.keywords:
            continue
        if not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason=SLOW))
        elif item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_LIMIT_S))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            need(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --strict-skips, a skip that no listed capability accounts for is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("--strict-skips") or reporter is None:
        return
    reasons = (str(report.longrepr[2]) for report in reporter.stats.get("skipped", []))
    unexplained = unexcused(reason for reason in reasons if SLOW not in reason)
    if unexplained:
        reporter.write_line(f"skipped without a listed reason: {'; '.join(unexplained)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
