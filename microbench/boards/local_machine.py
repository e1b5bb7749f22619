"""What tells this machine from another of the same model."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

SERIAL_DIGITS = 16
PURPOSE = "explore-edge fingerprint"  # a machine's id is not to be shown, nor its plain hash (machine-id(5))
ROUNDS = 50_000  # serial numbers of boards are short enough to be found by trying all, were each try cheap


def serial_hash(machine_id: Path = Path("/etc/machine-id")) -> str:
    """`hash_of_serial` of this machine's id; empty where it has none."""
    try:
        return hash_of_serial(machine_id.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return ""


@cache
def hash_of_serial(serial: str) -> str:
    """Digits that differ from machine to machine and from which its number or id cannot be told; empty for none."""
    if not serial:
        return ""
    digest = hashlib.pbkdf2_hmac("sha256", serial.encode(), PURPOSE.encode(), ROUNDS)
    return digest.hex()[:SERIAL_DIGITS]
