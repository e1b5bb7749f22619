"""A network in the form that a peer reads, made once per model and version of the peer's packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from microbench.errors import PeerError
from microbench.peers.environments import last_lines
from microbench.peers.registry import Peer

CONVERSION_LIMIT_S = 1800.0
_MOST_NAMES = 16


def convert(peer: Peer, python: Path, model: Path, directory: Path, tell: Callable[[str], None]) -> Path:
    """The converted network in `directory`, or a copy of the ONNX file where the peer reads ONNX.

    Always of a copy: some converters rewrite their input. Raises PeerError with the reason where it fails.
    """
    place = directory / "models" / f"{peer.name}-{_key(peer, model)[:_MOST_NAMES]}"
    if (place / peer.model).exists():
        return place / peer.model
    if peer.converter is not None:
        tell(f"{peer.title}: converting {model.name}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="convert-", dir=place.parent) as scratch:
        copy = Path(scratch) / "model.onnx"
        shutil.copyfile(model, copy)
        result = Path(scratch) / "result"
        result.mkdir()
        if peer.converter is None:
            copy.rename(result / peer.model)
        else:
            _execute(peer.converter, python, copy, result / peer.model)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(result, place)
    return place / peer.model


def _key(peer: Peer, model: Path) -> str:
    """Of the model, the converter and all that it was pinned to."""
    digest = hashlib.sha256(model.read_bytes())
    program = peer.converter.read_bytes() if peer.converter is not None else b""
    for part in (program, *(word.encode() for word in (*peer.requirements, *peer.without_dependencies))):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _execute(converter: Path, python: Path, model: Path, out: Path) -> None:
    command = (str(python), str(converter), str(model), str(out))
    try:
        done = subprocess.run(
            command,
            cwd=model.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CONVERSION_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"it cannot convert the network: {error}") from error
    if done.returncode != 0 or not out.exists():
        raise PeerError(f"it cannot convert the network: {last_lines(done.stderr or done.stdout)}")
