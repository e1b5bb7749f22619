"""The table of peers: what each needs, how its models are made, and what runs it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from microbench.errors import PeerError

PEERS_FILE = Path(__file__).parent / "peers.toml"
PROGRAMS = Path(__file__).parent / "programs"


class Peer(BaseModel):
    """One engine; see the top of peers.toml.

    `python` is the only version, as `3.11`, that its packages exist for; empty: any. `engine` and `converter` are
    files that its environment's interpreter runs, by default those of the folder `programs`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    distribution: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    without_dependencies: tuple[str, ...] = ()
    python: str = ""
    engine: Path
    converter: Path | None = None
    model: str


def read_peers(path: Path = PEERS_FILE, programs: Path = PROGRAMS) -> tuple[Peer, ...]:
    """All peers in the file's order; raises PeerError naming the entry that is malformed."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PeerError(f"table of peers {path} cannot be read: {error}; restore the file") from error
    return tuple(_peer(path, programs, name, entry) for name, entry in table.items())


def chosen_peers(names: Sequence[str], peers: Sequence[Peer]) -> tuple[Peer, ...]:
    """The peers of these names in the table's order, all without names; raises PeerError for an unknown one."""
    known = [peer.name for peer in peers]
    for name in names:
        if name not in known:
            raise PeerError(f"there is no peer {name!r}; there are {', '.join(known)}")
    return tuple(peer for peer in peers if not names or peer.name in names)


def _peer(path: Path, programs: Path, name: str, entry: object) -> Peer:
    if not isinstance(entry, dict):
        raise PeerError(f"{path}: {name!r} is no table; restore the file")
    paths: dict[str, object] = {"engine": programs / f"run_{name}.py"}
    if "converter" in entry:
        paths["converter"] = programs / str(entry["converter"])
    try:
        return Peer.model_validate({"name": name, **entry, **paths})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PeerError(f"{path}: {name}.{place}: {first['msg']}; mend the entry") from error
