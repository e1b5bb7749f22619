"""What an SSH server says before there is a connection, damaged: connecting ends with a typed error."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from random import Random

from microbench.boards.ssh_link import SshLink
from microbench.options import SshOptions
from tests.fuzz.damage import damaged
from tests.fuzz.replies import PretendedServer
from tests.fuzz.verdicts import verdict_of
from tests.random_graphs.judge import Outcome

BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
_NAMES = (
    b"curve25519-sha256,ecdh-sha2-nistp256",
    b"ssh-ed25519,rsa-sha2-512",
    *(b"aes128-ctr,aes256-ctr",) * 2,
    *(b"hmac-sha2-256,hmac-sha2-512",) * 2,
    *(b"none,zlib@openssh.com",) * 2,
    *(b"",) * 2,
)
_KEX_INIT, _KEX_REPLY, _DISCONNECT = 20, 31, 1


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _packet(payload: bytes) -> bytes:
    """RFC 4253, section 6: length, length of the padding, payload, padding to a multiple of 8."""
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


@cache
def said() -> tuple[bytes, ...]:
    """The banner, the offer of algorithms, the answer to the exchange of keys, and a parting."""
    offer = bytes([_KEX_INIT]) + bytes(range(16)) + b"".join(map(_string, _NAMES)) + bytes(5)
    key = _string(b"ssh-ed25519") + _string(bytes(range(32)))
    signature = _string(b"ssh-ed25519") + _string(bytes(64))
    reply = bytes([_KEX_REPLY]) + _string(key) + _string(bytes(range(32))) + _string(signature)
    parting = bytes([_DISCONNECT]) + struct.pack(">I", 2) + _string(b"gone") + _string(b"")
    return (BANNER, offer, reply, parting)


@cache
def _server() -> PretendedServer:
    return PretendedServer()


def judged_server(number: int) -> Outcome:
    """The verdict on one server; nobody is let in by it."""
    random = Random(f"server {number}")
    banner, *payloads = said()
    place = random.randrange(len(payloads) + 2)
    if place == 0:
        banner = damaged(banner, random)
    elif place <= len(payloads):
        payloads[place - 1] = damaged(payloads[place - 1], random)
    content = banner + b"".join(map(_packet, payloads))
    server = _server()
    server.said = damaged(content, random) if place > len(payloads) else content
    options = SshOptions("127.0.0.1", server.port, "somebody", known_hosts_path=Path("/nowhere"))

    def complaint() -> str:
        SshLink(options).close()
        return "a connection to nobody"

    return verdict_of(complaint)
