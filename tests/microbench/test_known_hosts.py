"""Lists of known hosts: marks, patterns, hashed names, damaged lines."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from microbench.boards.known_hosts import host_name, known_hosts
from microbench.boards.ssh_link import SshLink
from microbench.errors import BoardError, KnownHostsError, TimeLimitError
from microbench.options import SshOptions
from tests.microbench.loopback_sshd import LoopbackServer, make_key, sshd

__all__ = ["sshd"]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Kind and content of a host key."""
    path = tmp_path_factory.mktemp("keys") / "key"
    make_key(path)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "known"


@pytest.mark.parametrize(
    ("names", "is_trusted"),
    [
        ("pi.local", True),
        ("other,PI.local", True),
        ("*.local", True),
        ("pi.loca?", True),
        ("*.local,!pi.local", False),
        ("!pi.local", False),
        ("pi.locals", False),
        ("[pi.local]:2222", False),
        ("|1|AAAA|AAAA", False),
        ("|1|", False),
    ],
)
def test_names_are_patterns(written: Path, key: str, names: str, is_trusted: bool) -> None:
    written.write_text(f"# a comment\n\n{names} {key} somebody\n")
    assert bool(known_hosts(written, "pi.local").trusted) is is_trusted


def test_names_hashed_by_openssh_are_known(written: Path, key: str) -> None:
    written.write_text(f"[127.0.0.1]:2222 {key}\n")
    subprocess.run(("ssh-keygen", "-q", "-H", "-f", str(written)), check=True, capture_output=True)
    assert written.read_text().startswith("|1|")
    assert known_hosts(written, host_name("127.0.0.1", 2222)).trusted
    assert not known_hosts(written, host_name("127.0.0.1", 22)).trusted


def test_a_revoked_key_is_not_trusted_wherever_it_stands(written: Path, key: str) -> None:
    for lines in ((f"pi {key}", f"@revoked * {key}"), (f"@revoked pi {key}", f"pi {key}")):
        written.write_text("\n".join(lines))
        found = known_hosts(written, "pi")
        assert (found.trusted, len(found.revoked)) == ((), 1)
    written.write_text(f"pi {key}\n@revoked other {key}\n")
    assert known_hosts(written, "pi").trusted


def test_an_authority_makes_no_key_trusted(written: Path, key: str) -> None:
    written.write_text(f"@cert-authority pi {key}\n@unknown-mark pi {key}\n")
    found = known_hosts(written, "pi")
    assert (found.trusted, found.authorities) == ((), 1)


@pytest.mark.parametrize(
    "line", ["pi ssh-ed25519 AAAA", "pi ssh-ed25519 *", "pi", "pi ssh-rsa", "pi  ssh-ed25519 é"]
)
def test_a_damaged_line_about_the_board_is_named_and_others_are_passed_over(
    written: Path, key: str, line: str
) -> None:
    written.write_text(f"# first\n{line}\n")
    with pytest.raises(KnownHostsError, match=r"known, line 2: .*damaged.*anew"):
        known_hosts(written, "pi")
    assert not known_hosts(written, "other").trusted


def test_a_key_of_another_kind_than_it_says_is_damaged(written: Path, key: str) -> None:
    written.write_text(f"pi ecdsa-sha2-nistp256 {key.split()[1]}\n")
    with pytest.raises(KnownHostsError, match="line 1"):
        known_hosts(written, "pi")


def test_keys_of_unknown_kinds_are_passed_over(written: Path, key: str) -> None:
    tomorrows = base64.b64encode(b"\0\0\0\x0esk-of-tomorrow").decode()
    written.write_text(f"pi sk-of-tomorrow {tomorrows}\npi {key}\n")
    assert len(known_hosts(written, "pi").trusted) == 1


def test_places_that_hold_no_list(written: Path) -> None:
    assert not known_hosts(written, "pi").trusted
    with pytest.raises(KnownHostsError, match="readable"):
        known_hosts(written.parent, "pi")
    written.write_bytes(b"\xff\xfe\x00" * 40)
    with pytest.raises(KnownHostsError, match="no text"):
        known_hosts(written, "pi")


def test_a_board_that_shows_a_revoked_key_is_refused(
    sshd: LoopbackServer, written: Path, tmp_path: Path, key: str
) -> None:
    line = sshd.known_hosts.read_text().strip()
    for others in (line, f"[127.0.0.1]:{sshd.port} {key}"):
        written.write_text(f"{others}\n@revoked {line}\n")
        with pytest.raises(BoardError, match=r"SHA256:.* is REVOKED.*ssh-keygen -A"):
            SshLink(sshd.options(tmp_path / "there", known_hosts_path=written))


def test_an_authority_is_said_not_to_be_asked(sshd: LoopbackServer, written: Path, tmp_path: Path) -> None:
    written.write_text(f"@cert-authority {sshd.known_hosts.read_text()}")
    with pytest.raises(BoardError, match=r"unknown to .*authorities are not asked"):
        SshLink(sshd.options(tmp_path / "there", known_hosts_path=written))


def test_a_damaged_line_is_told_with_the_board(sshd: LoopbackServer, written: Path, tmp_path: Path) -> None:
    written.write_text(f"[127.0.0.1]:{sshd.port} ssh-ed25519 AAA\n")
    with pytest.raises(KnownHostsError, match=rf"127\.0\.0\.1:{sshd.port}: .*line 1"):
        SshLink(sshd.options(tmp_path / "there", known_hosts_path=written))


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300, 0.0, -1.0])
@pytest.mark.parametrize("name", ["timeout_s", "silence_s", "reconnect_s"])
def test_time_limits_of_a_connection_are_kept_or_refused(name: str, seconds: float) -> None:
    with pytest.raises(TimeLimitError, match=rf"{name} of .*month"):
        SshOptions("pi", **{name: seconds})  # type: ignore[arg-type]
