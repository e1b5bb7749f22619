"""Damaged lists of known hosts: what is left of them is read, and no key is trusted that they revoke."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from random import Random

import paramiko

from microbench.boards.known_hosts import known_hosts
from tests.fuzz.damage import damaged
from tests.fuzz.verdicts import verdict_of
from tests.random_graphs.judge import Outcome

HOST = "[pi.local]:2222"


@cache
def lines() -> bytes:
    """A list with every kind of line."""
    keys: list[paramiko.PKey] = [paramiko.ECDSAKey.generate() for _ in "abc"]
    keys.append(paramiko.RSAKey.generate(2048))
    words = [f"{key.get_name()} {key.get_base64()}" for key in keys]
    hashed = paramiko.HostKeys.hash_host(HOST)
    text = "\n".join(
        (
            "# known hosts",
            f"{HOST} {words[0]} somebody@somewhere",
            f"*.local,[pi.*]:2222,!other {words[3]}",
            f"{hashed} {words[1]}",
            f"@revoked * {words[2]}",
            f"@cert-authority *.local {words[2]}",
            "other.local ssh-ed25519 AAAA",
            "",
        )
    )
    return text.encode()


def judged_known_hosts(number: int) -> Outcome:
    """The verdict on one damaged list."""
    random = Random(f"known hosts {number}")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "known_hosts"
        path.write_bytes(damaged(lines(), random))

        def complaint() -> str:
            found = known_hosts(path, HOST)
            both = {key.asbytes() for key in found.trusted} & found.revoked
            return "a revoked key is trusted" if both else ""

        return verdict_of(complaint)
