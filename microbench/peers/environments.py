"""One virtual environment per peer, as their requirements contradict each other; kept between runs."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.engines.cpu.toolchain import cache_directory
from microbench.errors import PeerError
from microbench.peers.registry import Peer

INSTALL_LIMIT_S = 3600.0
MARKER = "environment.json"
_SHOWN_LINES = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Environment:
    """An interpreter that has a peer's packages, and the version of its engine."""

    python: Path
    version: str


def default_directory() -> Path:
    """Where environments and converted models are kept unless another place is named."""
    return cache_directory() / "peers"


def make_environment(peer: Peer, directory: Path, tell: Callable[[str], None]) -> Environment:
    """The peer's environment in `directory`: the one that is there if it has what the table says, else a new one.

    `tell` hears what takes long. Raises PeerError with the reason where it cannot be made; nothing usable is left then.
    """
    place = directory / peer.name
    there = _read(place, peer)
    if there is not None:
        return there
    interpreter = _interpreter(peer)
    tell(f"{peer.title}: installing {', '.join(peer.requirements)} (minutes, up to several GB)")
    shutil.rmtree(place, ignore_errors=True)
    _execute((interpreter, "-m", "venv", str(place)), peer)
    _install(peer, place)
    versions = _versions(peer, place)
    (place / MARKER).write_text(
        json.dumps(_wanted(peer) | {"versions": versions}, indent=2), encoding="utf-8"
    )
    return Environment(_python(place), versions[_normal(peer.distribution)])


def _read(place: Path, peer: Peer) -> Environment | None:
    try:
        marker = json.loads((place / MARKER).read_text(encoding="utf-8"))
        version = marker.pop("versions")[_normal(peer.distribution)]
    except (OSError, ValueError, KeyError):
        return None
    fits = marker == _wanted(peer) and _python(place).exists()
    return Environment(_python(place), version) if fits else None


def _wanted(peer: Peer) -> dict[str, list[str]]:
    return {
        "requirements": [*peer.requirements],
        "without_dependencies": [*peer.without_dependencies],
        "constraints": [*peer.constraints],
    }


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _interpreter(peer: Peer) -> str:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if peer.python in ("", own):
        return sys.executable
    found = shutil.which(f"python{peer.python}")
    if found is None:
        raise PeerError(
            f"it has packages for Python {peer.python} only, and there is no program python{peer.python}; install it"
        )
    return found


def _install(peer: Peer, place: Path) -> None:
    constraints = place / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in peer.constraints), encoding="utf-8")
    pip = (str(_python(place)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if peer.requirements:
        _execute((*pip, "--constraint", str(constraints), *peer.requirements), peer)
    if peer.without_dependencies:
        _execute((*pip, "--no-deps", *peer.without_dependencies), peer)


def _versions(peer: Peer, place: Path) -> dict[str, str]:
    command = (str(_python(place)), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check")
    versions = {_normal(entry["name"]): entry["version"] for entry in json.loads(_execute(command, peer))}
    if _normal(peer.distribution) not in versions:
        raise PeerError(f"its requirements do not bring {peer.distribution}; mend the entry {peer.name!r}")
    return versions


def _normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def _execute(command: Sequence[str], peer: Peer) -> str:
    logger.info("%s: %s", peer.name, " ".join(command))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"it cannot be installed: {error}") from error
    if done.returncode != 0:
        raise PeerError(f"it cannot be installed: {last_lines(done.stderr or done.stdout)}")
    return done.stdout


def last_lines(text: str) -> str:
    """What a failed program said at the end, on one line; warnings are left out."""
    said = [line.strip() for line in text.splitlines()]
    worth = [line for line in said if line and not line.upper().startswith(("WARNING", "[NOTICE"))]
    return " / ".join(worth[-_SHOWN_LINES:]) or "it ended without a word"
