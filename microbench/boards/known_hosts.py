"""Which host keys a user trusts: OpenSSH's list of known hosts with its marks (sshd(8), "SSH_KNOWN_HOSTS")."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.config import SSH_PORT
from paramiko.pkey import UnknownKeyType

from microbench.errors import KnownHostsError

REVOKED, AUTHORITY = "@revoked", "@cert-authority"
_HASHED = "|1|"
_SALT_BYTES = 20
# What paramiko and the library under it raise for bytes that are no key of their kind.
_NO_KEY = (
    paramiko.SSHException,
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    struct.error,
    AttributeError,
)


@dataclass(frozen=True)
class KnownHosts:
    """What the list says of one host: keys that are trusted, keys that must never be, and how many authorities.

    An authority vouches for keys by certificates, which are not read here: it makes no key trusted.
    """

    trusted: tuple[paramiko.PKey, ...] = ()
    revoked: frozenset[bytes] = frozenset()
    authorities: int = 0


def known_hosts(path: Path, host: str) -> KnownHosts:
    """What the file says of a host, by its name or [name]:port; a file that is not there says nothing.

    Raises KnownHostsError where the file cannot be read, is no text, or a line about this host is damaged. Damaged
    lines about others are passed over, as OpenSSH does: nothing is trusted because of them.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return KnownHosts()
    except OSError as error:
        raise KnownHostsError(
            f"{path} cannot be read: {error.strerror}; make it readable, or name another list of known hosts"
        ) from error
    trusted: list[paramiko.PKey] = []
    revoked: set[bytes] = set()
    authorities = 0
    for number, line in enumerate(lines, 1):
        words = _words(line)
        if words is None:
            raise KnownHostsError(f"{path} is no list of known hosts: line {number} is no text; name another")
        mark, names, kind, content = words
        if not names or not _is_of(names, host):
            continue
        blob, key = _key(kind, content, f"{path}, line {number}")
        if mark == AUTHORITY:
            authorities += 1
        elif mark == REVOKED:
            revoked.add(blob)
        elif not mark and key is not None:
            trusted.append(key)
    return KnownHosts(
        tuple(key for key in trusted if key.asbytes() not in revoked), frozenset(revoked), authorities
    )


def host_name(host: str, port: int) -> str:
    """How lists of known hosts call a server."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


def _words(line: bytes) -> tuple[str, str, str, str] | None:
    """Mark, names, kind and key of a line, empty where it has none; None where it is no text. Comments may be of any
    encoding.
    """
    if b"\0" in line:
        return None
    words = line.decode("utf-8", "replace").split()
    mark = words.pop(0) if words and words[0].startswith("@") else ""
    if not words or words[0].startswith("#"):
        return "", "", "", ""
    names, kind, content = (*words, "", "")[:3]
    return mark, names, kind, content


def _is_of(names: str, host: str) -> bool:
    """Whether patterns, separated by commas, name the host: at least one does, and none with a `!` before it."""
    found = False
    for name in names.split(","):
        if _matches(name.removeprefix("!"), host):
            if name.startswith("!"):
                return False
            found = True
    return found


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith(_HASHED):
        return _matches_hash(pattern, host)
    wanted = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern.lower())
    return re.fullmatch(wanted, host.lower()) is not None


def _matches_hash(pattern: str, host: str) -> bool:
    """HMAC-SHA1 of the name, keyed by a salt; one that is damaged names nobody."""
    salt_text, _, digest_text = pattern.removeprefix(_HASHED).partition("|")
    try:
        salt, digest = (base64.b64decode(text, validate=True) for text in (salt_text, digest_text))
    except (binascii.Error, ValueError):
        return False
    made = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return len(salt) == _SALT_BYTES and hmac.compare_digest(made, digest)


def _key(kind: str, content: str, place: str) -> tuple[bytes, paramiko.PKey | None]:
    """The key's bytes, and the key; None for one of a kind that is unknown here, which nothing is trusted by."""
    try:
        blob = base64.b64decode(content, validate=True)
        if not blob.startswith(struct.pack(">I", len(kind)) + kind.encode()):
            raise ValueError(f"it does not hold a key of kind {kind!r}")
        return blob, paramiko.PKey.from_type_string(kind, blob)
    except UnknownKeyType:
        return blob, None
    except _NO_KEY as error:
        raise KnownHostsError(
            f"{place}: the host key is damaged: {error}; compare the board's own "
            "(ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there) and write the line anew"
        ) from error
