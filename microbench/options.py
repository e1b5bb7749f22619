"""What a user may tell a board when it is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from microbench.errors import BoardOptionError
from microbench.limits import check_limit

Launch = Literal["mailbox", "registers"]
GpuThere = Literal["virtual", "stand-in", "mailbox"]


@dataclass(frozen=True)
class SshOptions:
    """How to reach a board over SSH.

    `known_hosts_path` must hold the board's key (OpenSSH format); None: `~/.ssh/known_hosts`. `key_path`
    None: the user's agent and default keys. `remote_directory` is where the runner is kept, relative to the
    remote home unless absolute. `backend` None: `virtual` on a machine of this one's architecture, `mailbox`
    on a Raspberry Pi; `stand-in`: a simulator with constants of its own in the file `board.constants` of that
    directory. A Raspberry Pi launches QPU programs as `launch` says: by its firmware's mailbox, or (for root) directly
    by the registers of its V3D block. `jump` is a host that the connection goes through. `timeout_s` bounds every
    wait for an answer, on top of the job's own time. After `silence_s` without a sign of life from the board the
    connection counts as lost; a lost one is made anew for up to `reconnect_s`. With `sudo` the runner
    is started as root there, without a password (`ssh_sudo`).
    """

    host: str
    port: int = 22
    user: str | None = None
    key_path: Path | None = None
    known_hosts_path: Path | None = None
    remote_directory: str = ".cache/explore-edge"
    backend: GpuThere | None = None
    launch: Launch = "mailbox"
    timeout_s: float = 120.0
    jump: SshOptions | None = None
    silence_s: float = 30.0
    reconnect_s: float = 120.0
    sudo: bool = False

    def __post_init__(self) -> None:
        """Raises TimeLimitError for a time limit that cannot be kept."""
        for name in ("timeout_s", "silence_s", "reconnect_s"):
            check_limit(f"SSH board {self.host}: {name}", getattr(self, name))


class OwnOptions(BaseModel):
    """Options of one board: a subclass has a field for each, with its type, a default and a `Field(description=...)`.

    They come from the table `board_options` of a profile or of a named board, and from `--board-option NAME=VALUE`.
    A board that has none declares this class itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


Own = TypeVar("Own", bound=OwnOptions)


@dataclass(frozen=True)
class BoardOptions:
    """Everything `open(profile, options)` of any board may need; each board reads what concerns it.

    `store` is the path or URL of recorded samples (replay board); `own` are the board's own options.
    """

    ssh: SshOptions | None = None
    store: str | Path | None = None
    own: OwnOptions = field(default_factory=OwnOptions)

    def own_as(self, declared: type[Own]) -> Own:
        """`own` with the type that the board declared; the defaults where it is opened without any."""
        return self.own if isinstance(self.own, declared) else declared()


def own_options(board: str, declared: type[Own], values: Mapping[str, object]) -> Own:
    """The options of a board from what a user gave; raises BoardOptionError listing the known ones."""
    try:
        return declared.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = "; ".join(explained_options(declared)) or "none"
        raise BoardOptionError(
            f"board {board!r}: {_fault(first['type'], name, first['msg'])}; its options are: {known} "
            "(--board-option NAME=VALUE, or the table board_options of a profile)"
        ) from error


def explained_options(declared: type[OwnOptions]) -> Iterator[str]:
    """For people, each option: its name, type, default and what it says."""
    for name, option in declared.model_fields.items():
        kind = getattr(option.annotation, "__name__", str(option.annotation))
        default = "required" if option.is_required() else f"default {option.default!r}"
        yield f"{name} ({kind}, {default}): {option.description or 'not described'}"


def _fault(kind: str, name: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"it has no option {name!r}"
    return f"option {name!r}: {message}"
