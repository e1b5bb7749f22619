"""What a user may tell a board when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from microbench.errors import BoardError

Launch = Literal["mailbox", "registers"]


@dataclass(frozen=True)
class SshOptions:
    """How to reach a board over SSH.

    `known_hosts_path` must hold the board's key (OpenSSH format); None: `~/.ssh/known_hosts`. `key_path`
    None: the user's agent and default keys. `remote_directory` is where the runner is kept, relative to the
    remote home unless absolute. `backend` None: `virtual` on a machine of this one's architecture, `mailbox`
    on a Raspberry Pi, which launches QPU programs as `launch` says: by its firmware's mailbox, or (for root) directly
    by the registers of its V3D block. `jump` is a host that the connection goes through. `timeout_s` bounds every
    wait for an answer, on top of the job's own time. After `silence_s` without a sign of life from the board the
    connection counts as lost; a lost one is made anew for up to `reconnect_s`.
    """

    host: str
    port: int = 22
    user: str | None = None
    key_path: Path | None = None
    known_hosts_path: Path | None = None
    remote_directory: str = ".cache/explore-edge"
    backend: Literal["virtual", "mailbox"] | None = None
    launch: Launch = "mailbox"
    timeout_s: float = 120.0
    jump: SshOptions | None = None
    silence_s: float = 30.0
    reconnect_s: float = 120.0


@dataclass(frozen=True)
class BoardOptions:
    """Everything `open(profile, options)` of any board may need; each board reads what concerns it.

    `store` is the path or URL of recorded samples (replay board), `fingerprint_hash` which of its boards
    to replay.
    """

    ssh: SshOptions | None = None
    store: str | Path | None = None
    fingerprint_hash: str | None = None

    def refuse_ssh(self, board: str) -> None:
        """Raises BoardError where a board that is here is wished for over SSH."""
        if self.ssh is not None:
            raise BoardError(
                f"the {board} board is not reached over SSH: leave out --ssh, or take --board ssh"
            )
