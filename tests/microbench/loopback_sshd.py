"""A real OpenSSH server on 127.0.0.1 for tests, with keys of its own."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest

from microbench.options import SshOptions
from tests.capabilities import need
from tests.probes import PRIVILEGE_DIRECTORY, sshd_program

START_TIMEOUT_S = 20.0

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers {user}
MaxStartups 100
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class LoopbackServer:
    """A running server: where it listens, what it keeps, who may come in."""

    port: int
    directory: Path
    user: str

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def options(self, remote_directory: Path, **changes: object) -> SshOptions:
        """Options that reach it; `changes` replace some."""
        fields: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "key_path": self.directory / "user_key",
            "known_hosts_path": self.known_hosts,
            "remote_directory": str(remote_directory),
            "timeout_s": 60.0,
            "reconnect_s": 20.0,
        }
        return SshOptions(**{**fields, **changes})  # type: ignore[arg-type]

    def known_hosts_for(self, port: int, path: Path) -> Path:
        """A list of known hosts that has this server's key under another port."""
        key = (self.directory / "host_key.pub").read_text().split()[:2]
        path.write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
        return path


@contextlib.contextmanager
def loopback_server(directory: Path, more: str = "") -> Iterator[LoopbackServer]:
    """Starts a server, with `more` in its configuration, and ends it; skips the test where there cannot be one."""
    need("ssh server")
    PRIVILEGE_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    server = LoopbackServer(free_port(), directory, getpass.getuser())
    make_key(directory / "host_key")
    make_key(directory / "user_key")
    shutil.copy(directory / "user_key.pub", directory / "authorized_keys")
    server.known_hosts_for(server.port, server.known_hosts)
    config = directory / "sshd_config"
    config.write_text(CONFIG.format(port=server.port, directory=directory, user=server.user) + more)
    log = directory / "sshd.log"
    command = (str(sshd_program()), "-D", "-f", str(config), "-E", str(log))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            _wait_until_listening(server.port, process, log)
            _log_in_once(server, log)
            yield server
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackServer]:
    """One server for all tests; import this fixture where it is used."""
    with loopback_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def home_directory() -> Iterator[None]:
    """Held by tests that reach the server by the command line: its runner is kept in the user's home, where it serves
    one host at a time, also among test processes.
    """
    with (Path(tempfile.gettempdir()) / f"tests-home-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_key(path: Path) -> None:
    """A new ed25519 key pair without passphrase."""
    subprocess.run(
        ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)),
        check=True,
        stdin=subprocess.DEVNULL,
    )


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _log_in_once(server: LoopbackServer, log: Path) -> None:
    """Fails where the server refuses this user altogether, as it does for a locked account."""
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(server.known_hosts))
        key = str(server.directory / "user_key")
        try:
            client.connect("127.0.0.1", server.port, server.user, key_filename=key, allow_agent=False)
        except paramiko.AuthenticationException:
            pytest.fail(f"the OpenSSH server lets {server.user} not in: {log.read_text().splitlines()[-3:]}")


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    pytest.fail(f"the OpenSSH server does not start here: {log.read_text() if log.exists() else 'no log'}")
