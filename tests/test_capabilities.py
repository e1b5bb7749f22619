"""A run of the tests cannot pass hollow: what a machine lacks fails it, or stands in the list of what it may lack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capabilities import CAPABILITIES, lack_of, need, unexcused

ROOT = Path(__file__).parents[1]
SOME_TEST = "tests/test_floors.py"
TWO_PROCESSES = ("-n", "2", "--dist", "loadfile")


def pytest_says(*words: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """A run of pytest as .ci/run has it, perhaps with another search path."""
    command = (sys.executable, "-m", "pytest", "--strict-skips", "-p", "no:cacheprovider", *words)
    environment = dict(os.environ) if path is None else {**os.environ, "PATH": path}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def path_without(*programs: str, place: Path) -> str:
    """A search path with all programs but these."""
    for directory in reversed(os.get_exec_path()):
        for program in Path(directory).glob("*"):
            link = place / program.name
            link.unlink(missing_ok=True)
            if program.name not in programs:
                link.symlink_to(program)
    return str(place)


def test_names_are_unique_and_what_is_required_can_be_installed() -> None:
    names = [capability.name for capability in CAPABILITIES]
    assert len(set(names)) == len(names)
    installed = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = re.findall(r"apt-get install (.*)", installed.replace("\\\n", " "))
    packages = {word for line in lines for word in line.split()}
    wanted = {package for capability in CAPABILITIES for package in capability.package.split(", ") if package}
    assert wanted <= packages
    for capability in CAPABILITIES:
        assert capability.purpose and not (capability.package and capability.may_be_lacking)


def test_a_machine_that_lacks_a_requirement_fails(tmp_path: Path) -> None:
    ended = pytest_says(SOME_TEST, path=path_without("ssh-keygen", place=tmp_path))
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    told = "ssh server: no program ssh-keygen (Debian: openssh-server)"
    assert ended.stderr.strip().splitlines() == ["ERROR: this machine lacks what tests need:", f"  {told}"]


def test_a_bare_machine_is_told_everything_at_once(tmp_path: Path) -> None:
    ended = pytest_says(SOME_TEST, *TWO_PROCESSES, path=str(tmp_path))
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    told = set(re.findall(r"^  ([a-z ]+): ", ended.stderr, re.MULTILINE))
    assert {"ssh server", "postgresql server", "arm emulator", "llvm", "c compiler"} <= told


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """An empty suite with this suite's rules."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n", encoding="utf-8")
    return tmp_path


SKIPS = """\
import pytest

def test_good():
    pass

def test_that_says_why():
    pytest.skip("not today")

def test_that_names_what_is_not_lacking():
    pytest.skip("lacks llvm: bad mood")

def test_that_imports():
    pytest.importorskip("absent")
"""


@pytest.mark.parametrize("processes", [(), TWO_PROCESSES])
def test_a_skip_that_nothing_listed_accounts_for_fails(suite: Path, processes: tuple[str, ...]) -> None:
    (suite / "test_it.py").write_text(SKIPS, encoding="utf-8")
    ended = pytest_says(suite, "--rootdir", suite, "-c", suite / "pytest.ini", *processes)
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout + ended.stderr
    assert "1 passed, 3 skipped" in ended.stdout
    (told,) = (line for line in ended.stdout.splitlines() if "skipped without a listed reason" in line)
    for reason in ("not today", "lacks llvm: bad mood", "could not import 'absent'"):
        assert reason in told


def test_slow_tests_may_be_left_out(suite: Path) -> None:
    (suite / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.slow\ndef test_slow():\n    assert False\n", encoding="utf-8"
    )
    arguments = (suite, "--rootdir", suite, "-c", suite / "pytest.ini")
    assert pytest_says(*arguments).returncode == pytest.ExitCode.OK
    assert pytest_says(*arguments, "--slow").returncode == pytest.ExitCode.TESTS_FAILED


def test_a_test_that_takes_too_long_fails_alone(suite: Path) -> None:
    (suite / "test_it.py").write_text(
        "import time\n\ndef test_hangs():\n    time.sleep(60)\n\ndef test_good():\n    pass\n",
        encoding="utf-8",
    )
    ended = pytest_says(suite, "--rootdir", suite, "-c", suite / "pytest.ini", "--timeout", "0.2")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 1 passed" in ended.stdout and "Timeout" in ended.stdout


def test_what_may_be_lacking_excuses_only_where_it_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "trained networks"
    monkeypatch.setattr("tests.capabilities.lack_of", {name: "no directory"}.get)
    with pytest.raises(pytest.skip.Exception) as skipped:
        need(name)
    assert unexcused([f"Skipped: {skipped.value.msg}"]) == []
    assert unexcused(["Skipped: lacks silicon vectors: no directory"])
    monkeypatch.setattr("tests.capabilities.lack_of", {}.get)
    need(name)
    assert unexcused([f"Skipped: {skipped.value.msg}"])


def test_an_unknown_capability_is_an_error() -> None:
    with pytest.raises(KeyError):
        lack_of("clairvoyance")


def test_a_search_path_can_lack_one_program(tmp_path: Path) -> None:
    path = path_without("ssh-keygen", place=tmp_path)
    assert shutil.which("ssh-keygen", path=path) is None and shutil.which("sh", path=path)
