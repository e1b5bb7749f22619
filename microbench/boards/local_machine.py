"""What tells this machine from another of the same model."""

from __future__ import annotations

import hashlib
from pathlib import Path

SERIAL_DIGITS = 16
PURPOSE = "explore-edge fingerprint"  # a machine's id is not to be shown, nor its plain hash (machine-id(5))


def serial_hash(machine_id: Path = Path("/etc/machine-id")) -> str:
    """Digits that differ from machine to machine and from which its id cannot be told; empty where it has none."""
    try:
        serial = machine_id.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return hashlib.sha256(f"{PURPOSE} {serial}".encode()).hexdigest()[:SERIAL_DIGITS] if serial else ""
