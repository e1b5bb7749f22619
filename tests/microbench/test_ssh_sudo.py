"""A runner as root by sudo without a password, behind a real SSH server; a stub stands for sudo."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from microbench.boards import ssh_sudo
from microbench.boards.ssh_link import SshLink
from microbench.boards.ssh_runner import RemoteRunner
from microbench.boards.ssh_sudo import check_owners
from microbench.devices import parse_devices
from microbench.doctor.diagnosis import Diagnosis
from microbench.doctor.examination import examine
from microbench.errors import BoardError
from microbench.options import SshOptions
from microbench.profile import load_profile
from microbench.runner.build import build_runner
from microbench.virtual.build import software_name
from tests.microbench.loopback_sshd import LoopbackServer, loopback_server

# Runs what it is told to, where a file says so, and keeps a line of each call; what it reads would be a password.
STUB = """\
#!{python}
import os, sys
place = {place!r}
with open(place + "/calls", "a") as calls:
    print(*sys.argv[1:], file=calls)
if sys.argv[1:3] != ["-n", "--"]:
    sys.exit("sudo: would ask")
words = sys.argv[3:]
if not any(os.path.basename(words[0]) == name or name == "all" for name in open(place + "/allowed").read().split()):
    print("sudo: a password is required", file=sys.stderr)
    sys.exit(1)
os.environ["AS_ROOT"] = "1"
os.execvp(words[0], words)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackServer]:
    """A server whose commands find the stub first."""
    place = tmp_path_factory.mktemp("sudo")
    (place / "bin").mkdir()
    stub = place / "bin" / "sudo"
    stub.write_text(STUB.format(python=sys.executable, place=str(place)))
    stub.chmod(0o755)
    with loopback_server(place, f"SetEnv PATH={place}/bin:/usr/bin:/bin\n") as server:
        yield server


@pytest.fixture
def options(server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SshOptions:
    """With places of the test's, and this user in root's stead."""
    monkeypatch.setattr(ssh_sudo, "PACKAGED_RUNNER", str(tmp_path / "package" / "runner"))
    monkeypatch.setattr(ssh_sudo, "UPLOADED", str(tmp_path / "uploaded"))
    if os.getuid() != 0:
        monkeypatch.setattr(ssh_sudo, "ROOT_ID", str(os.getuid()))
        text = ssh_sudo._INSTALL.replace("-o root -g root ", "")
        monkeypatch.setattr(ssh_sudo, "_INSTALL", text)
    (server.directory / "calls").unlink(missing_ok=True)
    allow(server, "all")
    return server.options(tmp_path / "there", sudo=True)


def allow(server: LoopbackServer, *programs: str) -> None:
    (server.directory / "allowed").write_text(" ".join(programs))


def calls(server: LoopbackServer) -> list[str]:
    return (server.directory / "calls").read_text().splitlines()


def own_runner() -> Path:
    return build_runner("virtual", software_name())


def package(tmp_path: Path, content: bytes) -> Path:
    place = tmp_path / "package" / "runner"
    place.parent.mkdir()
    place.write_bytes(content)
    place.chmod(0o755)
    return place


def start(options: SshOptions) -> RemoteRunner:
    return RemoteRunner(load_profile("pi-zero"), options)


def test_an_uploaded_runner_is_root_s_before_it_runs(
    server: LoopbackServer, options: SshOptions, tmp_path: Path
) -> None:
    for _ in range(2):  # the second finds it there
        start(options).close()
    (installed,) = (tmp_path / "uploaded").iterdir()
    content = own_runner().read_bytes()
    assert installed.name == hashlib.sha256(content).hexdigest() and installed.read_bytes() == content
    assert stat.S_IMODE(installed.stat().st_mode) == 0o755
    assert [call.split()[2] for call in calls(server)] == ["install", *[str(installed)] * 4]
    assert all(call.startswith("-n -- ") for call in calls(server))
    assert (tmp_path / "there" / "root" / "lock").is_file() and not (tmp_path / "there" / "lock").exists()


def test_the_package_s_runner_is_taken_and_nothing_is_installed(
    server: LoopbackServer, options: SshOptions, tmp_path: Path
) -> None:
    place = package(tmp_path, own_runner().read_bytes())
    allow(server, "runner")  # what a line for the package's runner alone allows
    start(options).close()
    assert [call.split()[2] for call in calls(server)] == [str(place)] * 2
    assert not (tmp_path / "uploaded").exists()


def test_a_package_of_another_runner_is_refused_unrun(
    server: LoopbackServer, options: SshOptions, tmp_path: Path
) -> None:
    package(tmp_path, b"#!/bin/sh\nexit 64\n")
    with pytest.raises(BoardError, match=r"not the runner that this program builds.*explore runner package"):
        start(options)
    assert not (server.directory / "calls").exists()


@pytest.mark.parametrize("packaged", [False, True])
def test_a_password_is_never_asked_for(
    server: LoopbackServer, options: SshOptions, tmp_path: Path, packaged: bool
) -> None:
    if packaged:
        package(tmp_path, own_runner().read_bytes())
    allow(server)
    with pytest.raises(BoardError, match=r"a password is required.*sudo adduser.*amounts to root"):
        start(options)


def test_an_altered_upload_does_not_run(server: LoopbackServer, options: SshOptions, tmp_path: Path) -> None:
    digest = hashlib.sha256(own_runner().read_bytes()).hexdigest()
    (tmp_path / "uploaded").mkdir()
    (tmp_path / "uploaded" / digest).write_text("#!/bin/sh\nexit 64\n")
    (tmp_path / "uploaded" / digest).chmod(0o755)
    with pytest.raises(BoardError, match="is not what was uploaded"):
        start(options)
    assert not (server.directory / "calls").exists()


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_others_may_change_does_not_run(options: SshOptions, tmp_path: Path, what: str) -> None:
    place = package(tmp_path, own_runner().read_bytes())
    (place if what == "file" else place.parent).chmod(0o777)
    with pytest.raises(BoardError, match=r"others than root may change .*chmod go-w"):
        start(options)


def test_an_owner_who_is_not_root_is_named(
    options: SshOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_sudo, "ROOT_ID", "123456")
    link = SshLink(options)
    try:
        with pytest.raises(BoardError, match=r"owner \d+\); on the board: sudo chown"):
            check_owners(link, str(package(tmp_path, b"")))
    finally:
        link.close()


def test_a_board_without_sudo_says_so(options: SshOptions, server: LoopbackServer) -> None:
    stub = server.directory / "bin" / "sudo"
    stub.rename(stub.with_name("gone"))
    try:
        with pytest.raises(BoardError, match=r"sudo.*not found"):
            start(options)
    finally:
        stub.with_name("gone").rename(stub)


def examined(options: SshOptions) -> dict[str, Diagnosis]:
    found: list[Diagnosis] = []
    examine(load_profile("pi-zero"), options, found.append)
    return {diagnosis.check: diagnosis for diagnosis in found}


def test_the_doctor_starts_the_runner_so_and_says_what_the_right_amounts_to(
    server: LoopbackServer, options: SshOptions, tmp_path: Path
) -> None:
    package(tmp_path, own_runner().read_bytes())
    allow(server, "runner")
    found = examined(options)
    assert found["runner"].verdict == "ok"
    expected = "run as root" if os.getuid() == 0 else "amounts to root"
    assert expected in found["rights of the runner"].result
    allow(server)
    refused = examined(options)["runner"]
    assert refused.verdict == "failed" and "a password is required" in refused.result


def test_a_named_board_may_ask_for_it() -> None:
    text = '[boards.kitchen]\nprofile = "pi-zero"\nhost = "pi.local"\n'
    plain = parse_devices(text, "devices.toml")["kitchen"].ssh()
    wanted = parse_devices(f"{text}sudo = true\n", "devices.toml")["kitchen"].ssh()
    assert plain is not None and not plain.sudo and wanted is not None and wanted.sudo
