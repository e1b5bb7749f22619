"""Named boards of a user: `devices.toml`, and what `--device NAME` means with it.

[boards.kitchen]
profile = "pi-zero"
host = "192.168.1.20"
user = "pi"
key = "~/.ssh/id_ed25519"
jump = "pi@gate.example:22"
launch = "registers"
sudo = true

[boards.phone]
profile = "phone.toml"
board = "adb"
board_options = { serial = "R58M123" }
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_config_path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from microbench.errors import DevicesError, ProfileError
from microbench.options import Launch, SshOptions
from microbench.profile import known_profiles, split_variants, unknown_device

DEFAULT_SSH_PORT = 22

_OF_A_HOST = ("user", "key", "known_hosts", "jump", "launch", "directory", "backend", "sudo")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PLACE = re.compile(r"(?:(?P<user>[^@\s:]+)@)?(?P<host>\[[^\]\s]+\]|[^@:\s]+)(?::(?P<port>\d{1,5}))?")


def default_devices_file() -> Path:
    """Where a user's boards are kept; it need not exist."""
    return user_config_path("explore-edge") / "devices.toml"


def check_name(name: str) -> str:
    """A board's name; raises ValueError where it is not letters, digits and dashes between them."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: up to 63 letters and digits, with dashes between them")
    return name


def _check_host(host: str) -> str:
    if _HOST.fullmatch(host):
        return host
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(
            f"{host!r} is neither a host's name nor an address, as pi.local or 192.0.2.7"
        ) from None
    return host


def _check_user(user: str) -> str:
    if not _USER.fullmatch(user):
        raise ValueError(f"{user!r} is no user's name: letters, digits, dot, dash, underscore")
    return user


def _check_path(path: str) -> str:
    if not path or not path.isprintable():
        raise ValueError(f"{path!r} is no path of a file")
    return path


def _check_jump(place: str) -> str:
    parse_place(place)
    return place


class NamedBoard(BaseModel):
    """How one board is reached: over SSH at `host`, or as the class `board` (any registered one) reaches it.

    `board_options` are that board's own. Paths may begin with `~`; `jump` is user@host:port, with the key of `host`.
    `launch` is how a Raspberry Pi launches QPU programs: "mailbox" (the default) or "registers"; `directory` is where
    the runner is kept there; `sudo` starts it as root; `backend` "stand-in": a simulator with constants of its own
    stands for it (`SshOptions`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    profile: Annotated[str, AfterValidator(_check_path)]
    host: Annotated[str, AfterValidator(_check_host)] | None = None
    board: Annotated[str, AfterValidator(check_name)] | None = None
    board_options: dict[str, Any] | None = None
    port: int = Field(default=DEFAULT_SSH_PORT, ge=1, le=65535)
    user: Annotated[str, AfterValidator(_check_user)] | None = None
    key: Annotated[str, AfterValidator(_check_path)] | None = None
    known_hosts: Annotated[str, AfterValidator(_check_path)] | None = None
    jump: Annotated[str, AfterValidator(_check_jump)] | None = None
    launch: Launch | None = None
    directory: Annotated[str, AfterValidator(_check_path)] | None = None
    backend: Literal["stand-in"] | None = None
    sudo: bool | None = None

    @model_validator(mode="after")
    def _is_reached_somehow(self) -> Self:
        told = [name for name in _OF_A_HOST if getattr(self, name) is not None]
        if self.host is None and (told or self.board is None):
            for_what = f" for {', '.join(told)}" if told else ", or `board` where it is not reached over SSH"
            raise ValueError(f"host is missing{for_what}; add it")
        return self

    def ssh(self) -> SshOptions | None:
        """What opens a connection to it; None where it is not reached over SSH."""
        if self.host is None:
            return None
        key, known = _file(self.key), _file(self.known_hosts)
        jump = None
        if self.jump is not None:
            user, host, port = parse_place(self.jump)
            jump = SshOptions(host, port, user, key, known)
        told: dict[str, Any] = {"remote_directory": self.directory} if self.directory else {}
        launch = self.launch or "mailbox"
        return SshOptions(
            self.host,
            self.port,
            self.user,
            key,
            known,
            backend=self.backend,
            jump=jump,
            launch=launch,
            sudo=bool(self.sudo),
            **told,
        )

    @property
    def place(self) -> str:
        """For people: user@host:port, and the way there; without a host the board that reaches it."""
        if self.host is None:
            return f"board {self.board}"
        user = f"{self.user}@" if self.user else ""
        return f"{user}{self.host}:{self.port}" + (f" through {self.jump}" if self.jump else "")


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    boards: dict[Annotated[str, AfterValidator(check_name)], NamedBoard] = {}


@dataclass(frozen=True)
class Device:
    """What `--device` stands for: a profile (name or file), and how it is reached where it is a configured board."""

    profile: str
    ssh: SshOptions | None = None
    board: str | None = None
    board_options: Mapping[str, Any] = field(default_factory=dict)


def read_devices(path: Path) -> dict[str, NamedBoard]:
    """Boards by name, none where there is no file; raises DevicesError naming file, place and remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DevicesError(f"{path}: cannot be read: {error}; name another file with --devices") from error
    return parse_devices(text, str(path))


def parse_devices(text: str, path: str) -> dict[str, NamedBoard]:
    """Boards of a file's text; raises DevicesError as `read_devices` does."""
    try:
        content: dict[str, Any] = tomllib.loads(text)
        return _Content.model_validate(content).boards
    except tomllib.TOMLDecodeError as error:
        raise DevicesError(f"{path}: not TOML: {error}; mend that line") from error
    except ValidationError as error:
        raise DevicesError(f"{path}: {explained(error)}") from error


def find_device(name: str, path: Path | None) -> Device:
    """A configured board of that name, otherwise a profile; variants of the profile may follow, as in
    `pi-zero:uniform-0`. `path` None: nothing is configured.

    Raises ProfileError for a name that is neither, DevicesError for a malformed file or an unknown profile in it.
    """
    boards = read_devices(path) if path is not None else {}
    base, variants = split_variants(name)
    if path is not None and base in boards:
        found = boards[base]
        profile = ":".join((_profile_of(found, base, path), *variants))
        return Device(profile, found.ssh(), found.board, found.board_options or {})
    if not base.endswith(".toml") and base not in known_profiles():
        own = "a board of your own: `explore devices add`"
        raise ProfileError(f"{unknown_device(name, boards, path)}; {own}")
    return Device(name)


def _profile_of(board: NamedBoard, name: str, path: Path) -> str:
    """A profile's file is meant from where the file of boards is."""
    base, _ = split_variants(board.profile)
    if base.endswith(".toml"):
        return str(path.parent / Path(board.profile).expanduser())
    if base not in known_profiles():
        raise DevicesError(f"{path}: boards.{name}.profile: {unknown_device(board.profile)}; correct it")
    return board.profile


def parse_place(text: str) -> tuple[str | None, str, int]:
    """User, host and port of user@host:port; raises ValueError with an example."""
    match = _PLACE.fullmatch(text)
    if not match or not 0 < int(match["port"] or DEFAULT_SSH_PORT) <= 65535:
        raise ValueError(f"{text!r} is malformed; an example: pi@192.168.1.20:22")
    user = _check_user(match["user"]) if match["user"] else None
    return user, _check_host(match["host"].strip("[]")), int(match["port"] or DEFAULT_SSH_PORT)


def explained(error: ValidationError) -> str:
    """The first thing that is wrong, where, and how to mend it."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        known = NamedBoard.model_fields if len(first["loc"]) > 1 else _Content.model_fields
        return f"{place}: an unknown key; known here: {', '.join(known)}; rename or remove it"
    if first["type"] == "missing":
        return f"{place}: is missing; add it"
    text = first["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if text.endswith("; add it") else f"{place}: {text}; correct it"


def _file(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
