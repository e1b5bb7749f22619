"""Where a farm may listen: what others reach without TLS is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.errors import FarmError, MissingExtraError
from explorer.farm import place as place_module
from explorer.farm.place import TLS_FILES, Place, place_of, security_of


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    for name in TLS_FILES:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_loopback_needs_no_tls(host: str) -> None:
    place = place_of(f"tcp://{host}:8786")
    assert place == Place(f"tcp://{host}:8786")
    assert security_of(place) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "[::]", "board.example", "127.0.0.1.example"])
def test_what_others_reach_is_refused_without_tls(host: str) -> None:
    with pytest.raises(FarmError, match=r"can run code.*ssh -L.*tls://"):
        place_of(f"tcp://{host}:8786")


def test_with_tls_a_farm_listens_anywhere_and_trusts_its_authority_alone(tls: Path) -> None:
    place = place_of("tls://0.0.0.0:8786", tls)
    security = security_of(place)
    assert security is not None and security.require_encryption
    for role in ("client", "worker"):
        assert security.get_tls_config_for_role(role)["ca_file"] == str(tls / "ca.pem")


@pytest.mark.parametrize(
    "address, message",
    [
        ("tcp://127.0.0.1:8786", "goes with --tls"),
        ("8786", "no address"),
        ("http://127.0.0.1:80", "no address"),
        ("tls://host", "no address"),
        ("tls://host:99999", "no address"),
        ("tls://host:1/path", "no address"),
    ],
)
def test_addresses_that_are_none_are_refused(address: str, message: str, tls: Path) -> None:
    with pytest.raises(FarmError, match=message):
        place_of(address, tls)


def test_tls_without_files_is_refused(tmp_path: Path, tls: Path) -> None:
    with pytest.raises(FarmError, match="goes with --tls"):
        place_of("tls://host:1")
    (tls / "key.pem").unlink()
    with pytest.raises(FarmError, match=r"key\.pem is not there"):
        place_of("tls://host:1", tls)


def test_without_the_extra_a_farm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\.\[farm\]"):
        place_of("tcp://127.0.0.1:8786")
