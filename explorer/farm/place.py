"""Where a farm listens and who may speak to it: its frames can run code, so without TLS nobody but this machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from explorer.errors import FarmError, MissingExtraError

if TYPE_CHECKING:
    from distributed import Security

INSTALL_LINE = "pip install -e '.[farm]'"
TLS_FILES = ("ca.pem", "cert.pem", "key.pem")
LOOPBACK = "127.0.0.1"
DEFAULT_ADDRESS = f"tcp://{LOOPBACK}:8786"


@dataclass(frozen=True)
class Place:
    """A scheduler's address, `tcp://` on loopback or `tls://` anywhere; `tls`: a directory with the files TLS_FILES."""

    address: str
    tls: Path | None = None

    @property
    def host(self) -> str:
        """Name or address of the machine, without brackets."""
        return urlsplit(self.address).hostname or ""

    @property
    def protocol(self) -> str:
        return "tls" if self.tls else "tcp"


def place_of(address: str, tls: Path | None = None) -> Place:
    """Raises FarmError for what is no such address, for one that others reach without TLS, and where a file of TLS is
    missing; MissingExtraError where Dask is not installed.
    """
    if find_spec("distributed") is None:
        raise MissingExtraError(
            f"a farm needs Dask distributed: type  {INSTALL_LINE}  in the project's directory"
        )
    try:
        parts = urlsplit(address)
        is_whole = parts.scheme in ("tcp", "tls") and bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_whole = False
    if not is_whole or parts.path or parts.query:
        raise FarmError(f"{address!r} is no address of a farm; an example: {DEFAULT_ADDRESS}")
    if (parts.scheme == "tls") != (tls is not None):
        raise FarmError(
            f"{address}: a tls:// address goes with --tls DIRECTORY ({', '.join(TLS_FILES)}), and tcp:// without it"
        )
    if tls is None and not is_loopback(parts.hostname or ""):
        raise FarmError(
            f"{address} is reached by others, and whoever reaches a farm can run code on it: listen on {LOOPBACK} (and "
            "reach that by ssh -L), or take tls:// with --tls DIRECTORY"
        )
    for name in TLS_FILES if tls else ():
        assert tls is not None
        if not (tls / name).is_file():
            raise FarmError(f"{tls / name} is not there: a farm with TLS needs {', '.join(TLS_FILES)}")
    return Place(address, tls)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def security_of(place: Place) -> Security | None:
    """Who is trusted: whoever has a key that the directory's authority signed; None on loopback."""
    from distributed import Security

    if place.tls is None:
        return None
    authority, certificate, key = (str(place.tls / name) for name in TLS_FILES)
    roles = ("client", "scheduler", "worker")
    files = {
        f"tls_{role}_{part}": path for role in roles for part, path in (("cert", certificate), ("key", key))
    }
    return Security(tls_ca_file=authority, require_encryption=True, **files)
