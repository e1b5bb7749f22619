"""One SSH connection to a board: its host key checked strictly, files uploaded whole or not at all."""

from __future__ import annotations

import base64
import getpass
import hashlib
import logging
import re
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import paramiko

from microbench.boards.known_hosts import KnownHosts, host_name, known_hosts
from microbench.boards.ssh_channel import (
    BROKEN,
    CHUNK_BYTES,
    NO_SSH,
    REACH,
    SETTLE_S,
    ChannelTransport,
    Heartbeat,
)
from microbench.boards.ssh_upload import FILE_NAME, free_bytes, make_directories, may_be_whole, put_whole
from microbench.errors import BoardError, KnownHostsError, UploadPlaceError
from microbench.options import SshOptions
from microbench.runner.client import BoardFullError, ConnectionLostError

SHORT_TIMEOUT_S = 30.0
SPARE_BYTES = 16384  # what directories and the last, incomplete block of a file take besides
_DISK = 'df -Pk -- "$1" 2>/dev/null || df -Pk .'  # before the first upload the directory is not there
_HASH = 'sha256sum <"$1" 2>/dev/null || :'
_REMOTE_PATH = re.compile(r"/?[A-Za-z0-9._][A-Za-z0-9._-]*(/[A-Za-z0-9._][A-Za-z0-9._-]*)*")

# What paramiko would log of a lost connection, the BoardError says.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshLink:
    """An authenticated connection. Every failure is a BoardError that names the host and the remedy."""

    def __init__(self, options: SshOptions) -> None:
        self.options = options
        self.place = f"{options.user or getpass.getuser()}@{options.host}:{options.port}"
        check_remote_directory(options.remote_directory)
        self._client = paramiko.SSHClient()
        self._known = KnownHosts()
        self._heartbeat: Heartbeat | None = None
        self._jump: SshLink | None = None
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    @property
    def transport(self) -> paramiko.Transport:
        """The connection itself; raises ConnectionLostError where it was closed."""
        transport = self._client.get_transport()
        if transport is None:
            raise ConnectionLostError(f"{self.place}: the connection is closed; open the board again")
        return transport

    def run(self, arguments: tuple[str, ...]) -> str:
        """Standard output of a short command that must succeed; every argument is quoted."""
        command = command_line(arguments)
        with self._explained("run a command"):
            channel = self._session()
            channel.exec_command(command)
            output = _read_to_end(channel, SHORT_TIMEOUT_S)
            status = channel.recv_exit_status()
            channel.close()
        if status != 0:
            raise BoardError(f"{self.place}: `{command}` ended with status {status}")
        return output.decode(errors="replace").strip()

    def start(self, arguments: tuple[str, ...]) -> ChannelTransport:
        """A long-lived command, spoken to over its standard input and output."""
        command = f"exec {command_line(arguments)}"
        with self._explained("start the runner"):
            channel = self._session()
            channel.exec_command(command)
        return ChannelTransport(channel, self.place, self._alive())

    def upload(self, content: bytes, directory: str, name: str) -> str:
        """Puts an executable file there unless one of that name and content is; returns its remote path.

        The file appears under its name only when complete. Raises BoardFullError where the board's disk has no room
        for it, UploadPlaceError where others than this user could change it.
        """
        if not FILE_NAME.fullmatch(name):
            raise BoardError(f"{self.place}: {name!r} is no file name for an upload")
        path = f"{directory}/{name}"
        with self._explained(f"upload to {directory}"), self._client.open_sftp() as sftp:
            channel = sftp.get_channel()
            if channel is not None:
                channel.settimeout(self.options.timeout_s)
            try:
                make_directories(sftp, directory, self._user_id)
                if not self._has(sftp, path, content):
                    put_whole(sftp, content, directory, name)
            except OSError as error:  # the protocol has no code for a full disk
                self._refuse_full(directory, len(content), error)
                raise
        return path

    @cached_property
    def _user_id(self) -> int:
        """This user's number there."""
        told = self.run(("id", "-u"))
        if not (told.isascii() and told.isdecimal()):
            raise BoardError(f"{self.place}: `id -u` says {told[:100]!r}, which is no user's number; {REACH}")
        return int(told)

    def _has(self, sftp: paramiko.SFTPClient, path: str, content: bytes) -> bool:
        """Whether the very content is there; where the board cannot tell, it is not."""
        if not may_be_whole(sftp, path, len(content), self._user_id):
            return False
        told = self.run(("sh", "-c", _HASH, "sh", path))
        return told.partition(" ")[0] == hashlib.sha256(content).hexdigest()

    def make_directory(self, directory: str) -> None:
        """Those of the path that are missing, for this user alone; raises UploadPlaceError as `upload` does."""
        with self._explained(f"make {directory}"), self._client.open_sftp() as sftp:
            make_directories(sftp, directory, self._user_id)

    def _refuse_full(self, directory: str, needed: int, error: OSError) -> None:
        """Raises BoardFullError where the disk's space explains the failure of an upload."""
        if not self._is_active():
            return
        free = free_bytes(self.run(("sh", "-c", _DISK, "sh", directory)))
        if free is not None and free < needed + SPARE_BYTES:
            raise BoardFullError(
                f"{self.place}: the disk is full: an upload to {directory} needs {needed} bytes, {free} are free; "
                "free some there, then run again (programs of earlier runs are in that directory, and may go)"
            ) from error

    def close(self) -> None:
        """Drops the connection, and the one it goes through; harmless when they are gone."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._client.close()
        if self._jump is not None:
            self._jump.close()

    def _connect(self) -> None:
        options = self.options
        known = options.known_hosts_path or Path("~/.ssh/known_hosts").expanduser()
        self._known = self._trust(known)
        self._check_key()
        self._client.set_missing_host_key_policy(_RefuseUnknown(known, self._known, self.place))
        with self._explained("connect"):
            connected = self._through() if options.jump is not None else _connected(options)
            own_key = options.key_path is not None
            self._client.connect(
                options.host,
                options.port,
                username=options.user or getpass.getuser(),
                key_filename=str(options.key_path) if own_key else None,
                allow_agent=not own_key,
                look_for_keys=not own_key,
                sock=connected,
                timeout=SHORT_TIMEOUT_S,
                banner_timeout=SHORT_TIMEOUT_S,
                auth_timeout=SHORT_TIMEOUT_S,
            )

    def _through(self) -> paramiko.Channel:
        """A connection that the jump host makes; its own key and user are checked as strictly."""
        options = self.options
        if options.jump is None:
            raise AssertionError("no jump host")
        self._jump = SshLink(options.jump)
        try:
            return self._jump.tunnel(options.host, options.port)
        except BoardError as error:
            raise type(error)(f"{self.place}: through {self._jump.place}: {error}") from error

    def tunnel(self, host: str, port: int) -> paramiko.Channel:
        """A connection from this board's machine onwards."""
        transport = self.transport
        with self._explained(f"connect onwards to {host}:{port}"):
            return transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=SHORT_TIMEOUT_S
            )

    def _alive(self) -> Heartbeat:
        if self._heartbeat is None:
            self._heartbeat = Heartbeat(self.transport, self.options.silence_s)
            self._heartbeat.start()
        return self._heartbeat

    def _trust(self, path: Path) -> KnownHosts:
        """Tells paramiko the first key of each kind that the list has for this host."""
        name = host_name(self.options.host, self.options.port)
        try:
            known = known_hosts(path, name)
        except KnownHostsError as error:
            raise KnownHostsError(f"{self.place}: {error}") from error
        for key in reversed(known.trusted):
            self._client.get_host_keys().add(name, key.get_name(), key)
        return known

    def _check_key(self) -> None:
        """paramiko's own words for a file that is no key would not name it, nor tell it from an unreachable board."""
        path = self.options.key_path
        if path is None:
            return
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BoardError(
                f"{self.place}: key {path} cannot be read: {error.strerror}; name a private key"
            ) from error
        except UnicodeDecodeError:
            text = ""
        if "PRIVATE KEY" not in text:
            raise BoardError(f"{self.place}: {path} is no private key; name one, without .pub")
        if not _loads(path):
            raise BoardError(
                f"{self.place}: the private key {path} is damaged or of an unknown kind; "
                "copy it anew, or make one with ssh-keygen -t ed25519"
            )

    def _session(self) -> paramiko.Channel:
        channel = self.transport.open_session(timeout=SHORT_TIMEOUT_S)
        channel.settimeout(SHORT_TIMEOUT_S)
        return channel

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except UploadPlaceError as error:
            raise UploadPlaceError(f"{self.place}: cannot {doing}: {error}") from error
        except paramiko.BadHostKeyException as error:
            if error.key.asbytes() in self._known.revoked:
                raise BoardError(f"{self.place}: {_revoked(error.key)}") from error
            known = self.options.known_hosts_path or Path("~/.ssh/known_hosts")
            raise BoardError(
                f"{self.place}: its host key has CHANGED: it shows {_shown(error.key)}, {known} has "
                f"{_shown(error.expected_key)}. If the board was set up anew, remove its line there "
                f"(ssh-keygen -R '[{self.options.host}]:{self.options.port}' -f {known}); "
                "if not, somebody may stand in between"
            ) from error
        except paramiko.AuthenticationException as error:
            raise BoardError(
                f"{self.place}: the board refuses this user and key: {error}; "
                "put the public key into its ~/.ssh/authorized_keys, or name another key"
            ) from error
        except paramiko.ChannelException as error:
            raise ConnectionLostError(f"{self.place}: cannot {doing}: {error.text}; {REACH}") from error
        except TimeoutError as error:
            raise ConnectionLostError(f"{self.place}: cannot {doing}: no answer in time; {REACH}") from error
        except NO_SSH as error:
            raise BoardError(
                f"{self.place}: cannot {doing}: what answers there speaks no sound SSH ({error}); "
                "see that host and port are the board's"
            ) from error
        except BROKEN as error:
            # A refused upload, for instance on a full disk, leaves the connection whole: trying again is no help.
            reason = str(error).rstrip(": ") or "connection lost"
            if self._holds_after(error):
                raise BoardError(f"{self.place}: cannot {doing}: {reason}; {REACH}") from error
            raise ConnectionLostError(
                f"{self.place}: cannot {doing}: the connection broke: {reason}; {REACH}"
            ) from error

    def _holds_after(self, error: BaseException) -> bool:
        """Whether the connection lives: paramiko notices a moment after its channels that it does not."""
        if isinstance(error, EOFError):  # nobody answers any more; a server that refuses says so
            return False
        time.sleep(SETTLE_S)
        return self._is_active()

    def _is_active(self) -> bool:
        transport = self._client.get_transport()
        # One that never came to know this user was frozen on the way: it may come about at the next attempt.
        return transport is not None and transport.is_active() and transport.is_authenticated()


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    """A board whose key nobody has confirmed is not spoken to."""

    def __init__(self, path: Path, known: KnownHosts, place: str) -> None:
        self._path = path
        self._known = known
        self._place = place

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        if key.asbytes() in self._known.revoked:
            raise BoardError(f"{self._place}: {_revoked(key)}")
        vouched = "its certificate authorities are not asked here. " if self._known.authorities else ""
        raise BoardError(
            f"{self._place}: its host key is unknown to {self._path}: it shows {_shown(key)}. {vouched}"
            f"Compare that with the board's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there); if equal, "
            f"append the line '{hostname} {key.get_name()} {key.get_base64()}'"
        )


def _connected(options: SshOptions) -> socket.socket:
    connected = socket.create_connection((options.host, options.port), timeout=SHORT_TIMEOUT_S)
    # paramiko leaves small packets to Nagle's algorithm, which costs tens of milliseconds an answer.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connected


def _loads(path: Path) -> bool:
    """Whether paramiko can read the key; one that wants a passphrase is left to the connection's own complaint."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            kind.from_private_key_file(str(path))
        except paramiko.PasswordRequiredException:
            return True
        except (paramiko.SSHException, ValueError, IndexError, OSError):
            continue
        return True
    return False


def _revoked(key: paramiko.PKey) -> str:
    return (
        f"its host key {_shown(key)} is REVOKED by the list of known hosts: somebody else may have it. Give the board "
        "a new one (on it: sudo rm /etc/ssh/ssh_host_*; sudo ssh-keygen -A), then make that known"
    )


def _shown(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def command_line(arguments: tuple[str, ...]) -> str:
    """What the board's shell takes for exactly these words, whatever is in them; raises BoardError for none.

    SSH hands a command over as one text, so that there is a shell at the other end; here there is none.
    """
    if not arguments or any("\0" in word for word in arguments):
        raise BoardError(f"{arguments!r} is no command: words without zero bytes make one")
    return shlex.join(arguments)


def check_remote_directory(path: str) -> None:
    """Raises BoardError for a path that a shell, or a command's options, would take for something else."""
    if not _REMOTE_PATH.fullmatch(path) or ".." in path.split("/"):
        raise BoardError(
            f"remote directory {path!r}: only letters, digits and ._- between slashes, no '..'; "
            "for instance .cache/explore-edge"
        )


def _read_to_end(channel: paramiko.Channel, timeout_s: float) -> bytes:
    until_s = time.monotonic() + timeout_s
    parts: list[bytes] = []
    while True:
        channel.settimeout(max(until_s - time.monotonic(), 0.001))
        part = channel.recv(CHUNK_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)
