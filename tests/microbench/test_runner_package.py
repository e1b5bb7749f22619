"""The runner's Debian package: what is in it, whose it is, for which processors; read back by dpkg-deb and lintian."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from codegen.elf import read_elf
from codegen.processors import AARCH64, ARM_V6, check_executable
from microbench.errors import PackageError
from microbench.profile import load_profile
from microbench.runner.build import Backend, device_runner
from microbench.runner.package import GROUP, PACKAGE, PACKAGED_RUNNER, write_package
from tests.explorer.command_line import explore

pytestmark = pytest.mark.needs("dpkg-deb")

BOARDS = {"pi-zero": "armhf", "pi-3-64": "arm64"}
BESIDE = (
    f"./etc/sudoers.d/{PACKAGE}",
    f"./usr/share/doc/{PACKAGE}/changelog.gz",
    f"./usr/share/doc/{PACKAGE}/copyright",
    f"./usr/share/lintian/overrides/{PACKAGE}",
)


@pytest.fixture(scope="module", params=list(BOARDS))
def board(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def package(board: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(load_profile(board), tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def unpacked(package: Path) -> Path:
    """With the control files in DEBIAN."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, package.parent / "tree"], check=True)
    return package.parent / "tree"


def said(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout


def test_it_says_for_which_machine_and_what_its_right_means(board: str, package: Path) -> None:
    fields = said("dpkg-deb", "--info", package)
    for text in (f"Package: {PACKAGE}\n", f"Architecture: {BOARDS[board]}\n", "Depends: adduser\n"):
        assert text in fields
    assert "amounts to root on this board" in " ".join(fields.split())
    assert package.name.endswith(f"_{board}_{BOARDS[board]}.deb")


def test_everything_in_it_is_root_s_and_nobody_else_may_change_it(package: Path) -> None:
    lines = [line.split() for line in said("dpkg-deb", "--contents", package).splitlines()]
    assert {words[1] for words in lines} == {"root/root"}
    modes = {words[-1]: words[0] for words in lines}
    files = {name: mode for name, mode in modes.items() if not name.endswith("/")}
    assert set(files) == {f".{PACKAGED_RUNNER}", *BESIDE}
    assert files[f".{PACKAGED_RUNNER}"] == "-rwxr-xr-x"
    assert files[f"./etc/sudoers.d/{PACKAGE}"] == "-r--r-----"
    assert {mode for name, mode in modes.items() if name.endswith("/")} == {"drwxr-xr-x"}


def test_its_program_is_the_one_that_is_looked_for_on_the_board(board: str, unpacked: Path) -> None:
    content = (unpacked / PACKAGED_RUNNER.lstrip("/")).read_bytes()
    backend: Backend = "mailbox" if board == "pi-zero" else "none"
    assert content == device_runner(backend, load_profile(board)).read_bytes()
    check_executable(content, (ARM_V6 if board == "pi-zero" else AARCH64,), static=True)
    assert read_elf(content).is_static


def test_the_line_for_sudo_allows_the_packaged_runner_and_nothing_else(unpacked: Path) -> None:
    text = (unpacked / "etc" / "sudoers.d" / PACKAGE).read_text()
    rules = [line for line in text.splitlines() if not line.startswith("#")]
    assert rules == [f"%{GROUP} ALL=(root) NOPASSWD: {PACKAGED_RUNNER}"]
    assert (unpacked / "DEBIAN" / "conffiles").read_text() == f"/etc/sudoers.d/{PACKAGE}\n"


def test_the_group_is_made_once(unpacked: Path, tmp_path: Path) -> None:
    """Run with an addgroup of the test's, before and after the group is there."""
    for name, text in (("addgroup", 'echo "$@" >>"$PLACE/made"'), ("getent", 'test -e "$PLACE/made"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PLACE": str(tmp_path)}
    for _ in range(2):
        subprocess.run([unpacked / "DEBIAN" / "postinst", "configure"], check=True, env=environment)
    assert (tmp_path / "made").read_text() == f"--quiet --system {GROUP}\n"


def test_equal_runners_give_equal_packages(board: str, package: Path, tmp_path: Path) -> None:
    assert write_package(load_profile(board), tmp_path).read_bytes() == package.read_bytes()


def test_its_changes_name_its_version(package: Path, unpacked: Path) -> None:
    number = said("dpkg-deb", "--field", package, "Version").strip()
    log = gzip.decompress((unpacked / "usr" / "share" / "doc" / PACKAGE / "changelog.gz").read_bytes())
    assert log.decode().startswith(f"{PACKAGE} ({number}) ")


@pytest.mark.needs("lintian")
def test_lintian_finds_no_fault(package: Path) -> None:
    words = ["lintian", "--allow-root", "--fail-on", "error,warning", str(package)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_command_writes_it_and_says_what_comes_next(tmp_path: Path) -> None:
    made = explore("runner", "package", "--device", "pi-3-64", "--out", tmp_path)
    assert made.exit_code == 0, made.output
    (written,) = tmp_path.iterdir()
    assert f"package: {written}" in made.stdout and f"apt install ./{written.name}" in made.stdout
    assert "amounts to root" in made.stdout
    with pytest.raises(PackageError, match="is this machine"):
        write_package(load_profile("host"), tmp_path)
