"""A virtual Pi that answers on loopback: one OpenSSH server a connection, on a port that the kernel gave."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from microbench.boards.stand_in import Habits
from microbench.errors import BoardError
from microbench.options import SshOptions
from microbench.profile import DeviceProfile
from microbench.virtual_pi.card import Card
from microbench.virtual_pi.emulation import why_no_emulation
from microbench.virtual_pi.files import HOME, SHELL, boot, make_board

LOOPBACK = "127.0.0.1"
NO_HABITS = Habits()
_PRIVILEGE_DIRECTORY = Path("/run/sshd")
_SFTP_PLACES = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
)
_END_S = 10.0
_WAIT_S = 0.02
_CONFIGURATION_FILE = "sshd_config"
_CONFIGURATION = """\
HostKey {board}/host_key
AuthorizedKeysFile {board}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers {user}
PrintMotd no
ForceCommand {board}/shell
Subsystem sftp {sftp}
"""


def why_no_virtual_pi(profile: DeviceProfile) -> str | None:
    """What this machine lacks for a virtual Pi of a profile, or None."""
    for name, package in (("ssh-keygen", "openssh-client"), ("env", "coreutils")):
        if shutil.which(name) is None:
            return f"no program {name} (Debian: {package})"
    if _sshd() is None:
        return "no program sshd (Debian: openssh-server)"
    if _sftp() is None:
        return "no program sftp-server (Debian: openssh-sftp-server)"
    if os.geteuid() == 0 and not _PRIVILEGE_DIRECTORY.is_dir() and not os.access("/run", os.W_OK):
        return f"{_PRIVILEGE_DIRECTORY} is missing and cannot be made"
    return why_no_emulation(profile)


class VirtualPi:
    """A context manager: while it is open, the board is reached as `options` says.

    All files of it are in `directory`, which goes with it. `true` has the constants that the board's QPUs have, which
    whoever reaches it is not told; `card_bytes` is the size of the board's disk, where it has one of its own.
    Raises BoardError naming what this machine lacks.
    """

    def __init__(
        self, true: DeviceProfile, habits: Habits = NO_HABITS, card_bytes: int | None = None
    ) -> None:
        reason = why_no_virtual_pi(true)
        if reason is not None:
            raise BoardError(f"a virtual {true.name} cannot be started here: {reason}")
        self.profile = true
        self.user = getpass.getuser()
        self.directory = Path(tempfile.mkdtemp(prefix="virtual-pi-"))
        self._habits = habits
        self._card = Card(self.directory / HOME, card_bytes) if card_bytes else None
        self._listener: socket.socket | None = None
        self._servers: list[subprocess.Popen[bytes]] = []
        self.port = 0

    def __enter__(self) -> Self:
        try:
            make_board(self.directory, self.profile, self._habits, self.user, Path(str(_sftp())))
            self._make_keys()
            if os.geteuid() == 0:
                _PRIVILEGE_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
            if self._card:
                self._card.insert()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def options(self, **changes: object) -> SshOptions:
        """How it is reached; `changes` replace some."""
        fields: dict[str, object] = {
            "host": LOOPBACK,
            "port": self.port,
            "user": self.user,
            "key_path": self.directory / "user_key",
            "known_hosts_path": self.directory / "known_hosts",
        }
        return SshOptions(**{**fields, **changes})  # type: ignore[arg-type]

    def start(self) -> None:
        """Listens: on the port of before, where it had one."""
        self._listener = socket.create_server((LOOPBACK, self.port))
        self.port = self._listener.getsockname()[1]
        self._write_known_hosts()
        threading.Thread(target=self._serve, args=(self._listener,), name="virtual Pi", daemon=True).start()

    def power_off(self) -> None:
        """Every process of it is gone at once, and nobody listens; what is on its disk stays."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        until_s = time.monotonic() + _END_S
        while (left := list(self._processes())) and time.monotonic() < until_s:
            for number in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(_WAIT_S)

    def reboot(self) -> None:
        """Off, and on again with the same keys and port; the firmware remembers nothing."""
        self.power_off()
        boot(self.directory)
        self.start()

    def change_host_key(self) -> None:
        """Another key from now on, which nobody knows: as of another computer at the same address."""
        for name in ("host_key", "host_key.pub"):
            (self.directory / name).unlink()
        _make_key(self.directory / "host_key")

    def close(self) -> None:
        """Ends it and removes its files; harmless when that was done."""
        self.power_off()
        if self._card:
            self._card.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _make_keys(self) -> None:
        for name in ("host_key", "user_key"):
            _make_key(self.directory / name)
        shutil.copy(self.directory / "user_key.pub", self.directory / "authorized_keys")
        configuration = _CONFIGURATION.format(board=self.directory, user=self.user, sftp=_sftp())
        (self.directory / _CONFIGURATION_FILE).write_text(configuration, encoding="utf-8")

    def _write_known_hosts(self) -> None:
        path = self.directory / "known_hosts"
        if not path.exists():
            key = (self.directory / "host_key.pub").read_text(encoding="ascii").split()[:2]
            path.write_text(f"[{LOOPBACK}]:{self.port} {' '.join(key)}\n", encoding="ascii")

    def _serve(self, listener: socket.socket) -> None:
        """A server for each connection, until the listener is closed."""
        files = ("-f", str(self.directory / _CONFIGURATION_FILE), "-E", str(self.directory / "sshd.log"))
        command = (str(_sshd()), "-i", *files)
        inside = self._card.inside() if self._card else ()
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                end = connection.fileno()
                self._servers.append(subprocess.Popen((*inside, *command), stdin=end, stdout=end, stderr=end))
            self._servers = [server for server in self._servers if server.poll() is None]

    def _processes(self) -> Iterator[int]:
        """Numbers of all that run on the board, told by what its server begins sessions and programs with. Who names
        a file of its directory otherwise, as a client does its key, is not on it.
        """
        yield from (server.pid for server in self._servers if server.poll() is None)
        begun = {str(self.directory / name).encode() for name in (SHELL, _CONFIGURATION_FILE)}
        setting, option = f"VIRTUAL_PI={self.directory}".encode(), f",board={self.directory},".encode()
        card = self._card.holder if self._card else None
        for place in Path("/proc").iterdir():
            if place.name.isdecimal() and int(place.name) not in (os.getpid(), card):
                with contextlib.suppress(OSError):
                    words = (place / "cmdline").read_bytes().split(b"\0")
                    settings = (place / "environ").read_bytes().split(b"\0")
                    if setting in settings or any(word in begun or option in word for word in words):
                        yield int(place.name)


def _make_key(path: Path) -> None:
    """A new ed25519 key pair without passphrase."""
    words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "virtual-pi", "-f", str(path))
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def _sshd() -> str | None:
    """It must be started by its whole path; it often stands outside a user's search path."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _sftp() -> str | None:
    return next((place for place in _SFTP_PLACES if os.access(place, os.X_OK)), None)
