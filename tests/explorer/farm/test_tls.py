"""A farm with TLS, by real handshakes on loopback: who has a certificate of its authority is served, nobody else."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from explorer.errors import FarmError
from explorer.farm import pool as pool_module
from explorer.farm.place import Place
from explorer.farm.pool import connected
from explorer.farm.processes import JOINED, BoardToOpen, Event, FarmProcesses
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model

SHORT_S = 3.0
HOST = "127.0.0.1"


def write_tls(directory: Path) -> Path:
    """A new authority, and a key with its certificate."""
    directory.mkdir()
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "farm")])
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, directory.name)])

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, is_authority: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
        builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        return (
            builder.add_extension(host, critical=False)
            .sign(authority, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    (directory / "ca.pem").write_bytes(signed(issuer, authority.public_key(), True))
    (directory / "cert.pem").write_bytes(signed(name, key.public_key(), False))
    (directory / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return directory


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tls(tmp_path_factory.mktemp("tls") / "own")


@pytest.fixture(scope="module")
def farm(tls: Path) -> Iterator[tuple[FarmProcesses, str]]:
    heard: list[Event] = []
    with FarmProcesses() as processes:
        address = processes.start_scheduler(Place(f"tls://{HOST}:0", tls)).name
        assert (
            processes.start_boards(Place(address, tls), [BoardToOpen("one", "pi-zero", "null")], heard.append)
            == 1
        )
        assert [event.what for event in heard] == [JOINED]
        yield processes, address


def test_a_run_with_a_certificate_is_served(
    farm: tuple[FarmProcesses, str], tls: Path, tmp_path: Path
) -> None:
    assert farm[1].startswith("tls://")
    model = write_tiny_model(tmp_path / "tiny.onnx")
    few = ("--layer-budget", "2", "--budget", "40")
    places = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out")
    ran = explore("run", "--model", model, "--farm", farm[1], "--farm-tls", tls, *few, *places)
    assert ran.exit_code == 0, ran.output


def test_whoever_has_none_of_the_authority_is_not(
    farm: tuple[FarmProcesses, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CONNECT_S", SHORT_S)
    other = write_tls(tmp_path / "other")
    for place in (Place(farm[1], other), Place(farm[1].replace("tls://", "tcp://"))):
        with pytest.raises(FarmError, match="no farm answers"):
            connected(place)


def test_pages_stay_on_loopback(farm: tuple[FarmProcesses, str]) -> None:
    listening = [
        one.laddr.ip
        for pid in farm[0].pids
        for one in psutil.Process(pid).net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3 and set(listening) == {HOST}
