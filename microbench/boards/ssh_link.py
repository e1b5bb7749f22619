"""One SSH connection to a board: its host key checked strictly, files uploaded whole or not at all."""

from __future__ import annotations

import base64
import contextlib
import getpass
import hashlib
import io
import logging
import re
import secrets
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko

from microbench.errors import BoardError
from microbench.options import SshOptions

CHUNK_BYTES = 1 << 16
SHORT_TIMEOUT_S = 30.0
_REMOTE_PATH = re.compile(r"/?[A-Za-z0-9._][A-Za-z0-9._-]*(/[A-Za-z0-9._][A-Za-z0-9._-]*)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_BROKEN = (OSError, EOFError, paramiko.SSHException)  # how paramiko says that a connection is gone

# What paramiko would log of a lost connection, the BoardError says.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshLink:
    """An authenticated connection. Every failure is a BoardError that names the host and the remedy."""

    def __init__(self, options: SshOptions) -> None:
        self.options = options
        self.place = f"{options.user or getpass.getuser()}@{options.host}:{options.port}"
        _check_remote_directory(options.remote_directory)
        self._client = paramiko.SSHClient()
        try:
            self._connect()
        except BaseException:
            self._client.close()
            raise

    def run(self, arguments: tuple[str, ...]) -> str:
        """Standard output of a short command that must succeed; every argument is quoted."""
        with self._explained("run a command"):
            channel = self._session()
            channel.exec_command(shlex.join(arguments))
            output = _read_to_end(channel, SHORT_TIMEOUT_S)
            status = channel.recv_exit_status()
            channel.close()
        if status != 0:
            raise BoardError(f"{self.place}: `{shlex.join(arguments)}` ended with status {status}")
        return output.decode(errors="replace").strip()

    def start(self, arguments: tuple[str, ...]) -> ChannelTransport:
        """A long-lived command, spoken to over its standard input and output."""
        with self._explained("start the runner"):
            channel = self._session()
            channel.exec_command("exec " + shlex.join(arguments))
        return ChannelTransport(channel, self.place)

    def upload(self, content: bytes, directory: str, name: str) -> str:
        """Puts an executable file there unless a file of that name and size is; returns its remote path.

        The name must stand for the content (a hash): the file appears under it only when complete.
        """
        if not _FILE_NAME.fullmatch(name):
            raise BoardError(f"{self.place}: {name!r} is no file name for an upload")
        path = f"{directory}/{name}"
        with self._explained(f"upload to {directory}"), self._client.open_sftp() as sftp:
            channel = sftp.get_channel()
            if channel is not None:
                channel.settimeout(self.options.timeout_s)
            if _size_of(sftp, path) != len(content):
                _make_directories(sftp, directory)
                _put_whole(sftp, content, directory, name)
        return path

    def close(self) -> None:
        """Drops the connection; harmless when it is gone."""
        self._client.close()

    def _connect(self) -> None:
        options = self.options
        known = options.known_hosts_path or Path("~/.ssh/known_hosts").expanduser()
        self._load_known_hosts(known)
        self._check_key()
        self._client.set_missing_host_key_policy(_RefuseUnknown(known, self.place))
        with self._explained("connect"):
            connected = socket.create_connection((options.host, options.port), timeout=SHORT_TIMEOUT_S)
            # paramiko leaves small packets to Nagle's algorithm, which costs tens of milliseconds an answer.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
            transport = self._client.get_transport()
            if transport is not None:
                transport.set_keepalive(15)

    def _load_known_hosts(self, path: Path) -> None:
        if not path.is_file():
            return  # the policy then says that the key is unknown, and how to make it known
        try:
            self._client.load_host_keys(str(path))
        except (OSError, paramiko.SSHException, ValueError) as error:
            raise BoardError(f"{self.place}: {path} is no list of known hosts: {error}") from error

    def _check_key(self) -> None:
        """paramiko's own words for a file that is no key would not name it."""
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

    def _session(self) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None:
            raise BoardError(f"{self.place}: the connection is closed; open the board again")
        channel = transport.open_session(timeout=SHORT_TIMEOUT_S)
        channel.settimeout(SHORT_TIMEOUT_S)
        return channel

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except paramiko.BadHostKeyException as error:
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
        except TimeoutError as error:
            raise BoardError(f"{self.place}: cannot {doing}: no answer in time; {_REACH}") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise BoardError(
                f"{self.place}: cannot {doing}: {error or 'connection lost'}; {_REACH}"
            ) from error


_REACH = "check that the board is on, reachable and has space on its disk"


class ChannelTransport:
    """Bytes to and from a remote command (`microbench.runner.client.Transport`)."""

    def __init__(self, channel: paramiko.Channel, place: str) -> None:
        self._channel = channel
        self._place = place

    def send(self, data: bytes, timeout_s: float) -> None:
        """Raises BoardError when the connection breaks or nothing is taken in time."""
        until_s = time.monotonic() + timeout_s
        done = 0
        while done < len(data):
            self._channel.settimeout(max(until_s - time.monotonic(), 0.001))
            try:
                sent = self._channel.send(data[done : done + CHUNK_BYTES])
            except TimeoutError as error:
                raise BoardError(f"{self._place}: the runner takes no data; {_REACH}") from error
            except _BROKEN as error:
                raise self._lost(str(error)) from error
            if sent == 0:
                raise self._lost("")
            done += sent

    def receive(self, size: int, timeout_s: float) -> bytes:
        """Exactly so many bytes; raises BoardError when the connection breaks or time is up."""
        until_s = time.monotonic() + timeout_s
        parts: list[bytes] = []
        missing = size
        while missing:
            self._channel.settimeout(max(until_s - time.monotonic(), 0.001))
            try:
                part = self._channel.recv(min(missing, CHUNK_BYTES))
            except TimeoutError as error:
                raise BoardError(
                    f"{self._place}: the runner gave no answer in {timeout_s:.0f} s; {_REACH}"
                ) from error
            except _BROKEN as error:
                raise self._lost(str(error)) from error
            if not part:
                raise self._lost("")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Ends the remote command's input, and with it the command."""
        with contextlib.suppress(*_BROKEN):
            self._channel.close()

    def _lost(self, error: str) -> BoardError:
        said = b""
        with contextlib.suppress(*_BROKEN):
            self._channel.settimeout(0.5)
            said = self._channel.recv_stderr(2000)
        reason = said.decode(errors="replace").strip() or error or "the runner ended"
        return BoardError(
            f"{self._place}: the connection to the runner broke: {reason}; {_REACH}, then run again"
        )


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    """A board whose key nobody has confirmed is not spoken to."""

    def __init__(self, known: Path, place: str) -> None:
        self._known = known
        self._place = place

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise BoardError(
            f"{self._place}: its host key is unknown to {self._known}: it shows {_shown(key)}. "
            f"Compare that with the board's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there); if equal, "
            f"append the line '{hostname} {key.get_name()} {key.get_base64()}'"
        )


def _shown(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def _check_remote_directory(path: str) -> None:
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


def _size_of(sftp: paramiko.SFTPClient, path: str) -> int | None:
    try:
        return sftp.stat(path).st_size
    except FileNotFoundError:
        return None


def _make_directories(sftp: paramiko.SFTPClient, directory: str) -> None:
    parts = directory.split("/")
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        if path and _size_of(sftp, path) is None:
            sftp.mkdir(path, 0o700)


def _put_whole(sftp: paramiko.SFTPClient, content: bytes, directory: str, name: str) -> None:
    temporary = f"{directory}/.{name}.{secrets.token_hex(8)}"
    try:
        sftp.putfo(io.BytesIO(content), temporary, file_size=len(content), confirm=True)
        sftp.chmod(temporary, 0o700)
        sftp.posix_rename(temporary, f"{directory}/{name}")
    except BaseException:
        with contextlib.suppress(*_BROKEN):
            sftp.remove(temporary)
        raise
