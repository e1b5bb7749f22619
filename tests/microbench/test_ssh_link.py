"""The SSH link against a real server: host keys, uploads, lost connections."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import stat
from pathlib import Path

import pytest

from microbench.boards.ssh_link import SshLink
from microbench.errors import BoardError, UploadPlaceError
from microbench.runner.build import build_runner, content_sha256
from microbench.runner.client import ConnectionLostError, RunnerClient
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer, free_port, make_key, sshd

__all__ = ["sshd"]


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The remote directory."""
    return tmp_path / "there"


def test_commands_are_run_quoted(sshd: LoopbackServer, there: Path) -> None:
    link = SshLink(sshd.options(there))
    assert link.run(("printf", "%s|", "a b", "$HOME", "'; exit 5")) == "a b|$HOME|'; exit 5|"
    with pytest.raises(BoardError, match=r"`false`.*status 1"):
        link.run(("false",))
    link.close()
    link.close()
    with pytest.raises(BoardError, match="closed"):
        link.run(("true",))


def test_an_unknown_host_key_is_refused_with_the_line_to_add(
    sshd: LoopbackServer, there: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "none"
    for known in (empty, tmp_path / "absent"):
        if known == empty:
            known.write_text("")
        with pytest.raises(BoardError) as refused:
            SshLink(sshd.options(there, known_hosts_path=known))
        assert "unknown" in str(refused.value) and "SHA256:" in str(refused.value)
        assert sshd.known_hosts.read_text().strip() in str(refused.value)
    assert not empty.read_text()


def test_a_changed_host_key_is_refused(sshd: LoopbackServer, there: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    known = tmp_path / "known"
    key = (tmp_path / "other.pub").read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{sshd.port} {' '.join(key)}\n")
    with pytest.raises(BoardError, match=r"CHANGED.*ssh-keygen -R"):
        SshLink(sshd.options(there, known_hosts_path=known))


def test_a_list_of_known_hosts_that_is_none_is_named(
    sshd: LoopbackServer, there: Path, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    known.write_bytes(b"\xff\xfe\x00" * 40)
    with pytest.raises(BoardError, match="known"):
        SshLink(sshd.options(there, known_hosts_path=known))


def test_a_user_key_the_board_does_not_know_is_refused(
    sshd: LoopbackServer, there: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "mine")
    with pytest.raises(BoardError, match="authorized_keys"):
        SshLink(sshd.options(there, key_path=tmp_path / "mine"))
    with pytest.raises(BoardError, match=r"127\.0\.0\.1"):
        SshLink(sshd.options(there, key_path=tmp_path / "nowhere"))


def test_a_damaged_key_gets_the_remedy_for_a_key(sshd: LoopbackServer, there: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "mine")
    lines = (tmp_path / "mine").read_text().splitlines()
    (tmp_path / "mine").write_text("\n".join([lines[0], lines[1][:30], *lines[2:]]) + "\n")
    with pytest.raises(BoardError, match=r"private key .*mine is damaged.*ssh-keygen") as refused:
        SshLink(sshd.options(there, key_path=tmp_path / "mine"))
    assert not isinstance(refused.value, ConnectionLostError)


def test_a_jump_host_is_checked_like_the_board(sshd: LoopbackServer, there: Path, tmp_path: Path) -> None:
    through = dataclasses.replace(sshd.options(there), jump=sshd.options(there))
    link = SshLink(through)
    assert link.run(("echo", "reached")) == "reached"
    link.close()
    with pytest.raises(BoardError, match="unknown"):
        SshLink(dataclasses.replace(through, jump=sshd.options(there, known_hosts_path=tmp_path / "none")))
    with pytest.raises(BoardError, match="unknown"):
        SshLink(dataclasses.replace(through, known_hosts_path=tmp_path / "none"))
    nobody = free_port()
    known = sshd.known_hosts_for(nobody, tmp_path / "known")
    with pytest.raises(
        ConnectionLostError, match=rf"{nobody}: through .*{sshd.port}.*cannot connect onwards"
    ):
        SshLink(dataclasses.replace(through, port=nobody, known_hosts_path=known))


def test_a_connection_sends_small_packets_at_once_and_asks_for_life(
    sshd: LoopbackServer, there: Path
) -> None:
    link = SshLink(sshd.options(there, silence_s=0.3))
    client = start_runner(link, there, 30.0)
    client.hello()
    connected = link.transport.sock
    assert isinstance(connected, socket.socket)
    assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    client.close()
    link.close()


def test_a_slow_answer_is_no_silence_and_a_frozen_link_is(
    sshd: LoopbackServer, there: Path, tmp_path: Path
) -> None:
    with LinkProxy(sshd.port) as proxy:
        known = sshd.known_hosts_for(proxy.port, tmp_path / "known")
        link = SshLink(sshd.options(there, port=proxy.port, known_hosts_path=known, silence_s=0.4))
        slow = link.start(("sh", "-c", "sleep 1; echo ok"))
        assert slow.receive(3, 30.0) == b"ok\n"
        silent = link.start(("sleep", "20"))
        proxy.freeze()
        with pytest.raises(ConnectionLostError, match=r"nothing heard of the board for 0\.4 s.*run again"):
            silent.receive(1, 30.0)
        link.close()


def test_nobody_listening_names_the_host(sshd: LoopbackServer, there: Path) -> None:
    with pytest.raises(BoardError, match=r"127\.0\.0\.1:\d+: cannot connect.*check"):
        SshLink(sshd.options(there, port=free_port()))


@pytest.mark.parametrize("directory", ["../x", "a/../b", "a b", "-rf", "", "a;b", "~/x", "a//b", "$HOME"])
def test_remote_directories_are_checked(sshd: LoopbackServer, there: Path, directory: str) -> None:
    with pytest.raises(BoardError, match="remote directory"):
        SshLink(dataclasses.replace(sshd.options(there), remote_directory=directory))


def test_uploads_are_private_whole_and_made_once(sshd: LoopbackServer, there: Path) -> None:
    content = bytes(range(256)) * 500
    link = SshLink(sshd.options(there))
    path = Path(link.upload(content, str(there / "bin"), "abc123"))
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(there.stat().st_mode) == 0o700
    first = path.stat()
    link.upload(content, str(there / "bin"), "abc123")
    assert path.stat().st_ino == first.st_ino
    path.write_bytes(b"half")
    link.upload(content, str(there / "bin"), "abc123")
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["abc123"]
    with pytest.raises(BoardError, match="no file name"):
        link.upload(content, str(there / "bin"), "../abc")
    shutil.rmtree(there)
    there.write_text("a file is in the way")
    with pytest.raises(BoardError, match="upload"):
        link.upload(content, str(there / "bin"), "abc123")
    link.close()


def test_an_upload_is_known_by_its_content(sshd: LoopbackServer, there: Path) -> None:
    """A file of its name and size that is another, and what is no file of the user's, are not taken for it."""
    content = bytes(range(256)) * 500
    link = SshLink(sshd.options(there))
    path = Path(link.upload(content, str(there / "bin"), "abc"))
    path.write_bytes(b"x" * len(content))
    assert Path(link.upload(content, str(there / "bin"), "abc")).read_bytes() == content
    elsewhere = there / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    link.upload(content, str(there / "bin"), "abc")
    assert path.read_bytes() == content and not path.is_symlink()
    link.close()


def test_a_directory_that_others_may_change_is_refused(sshd: LoopbackServer, there: Path) -> None:
    link = SshLink(sshd.options(there))
    real = there / "real"
    real.mkdir(parents=True)
    (there / "link").symlink_to(real)
    with pytest.raises(UploadPlaceError, match=r"127\.0\.0\.1.*link is a symbolic link.*real path"):
        link.upload(b"x", str(there / "link" / "bin"), "abc")
    with pytest.raises(UploadPlaceError, match="symbolic link"):
        link.make_directory(str(there / "link"))
    assert list(real.iterdir()) == []
    real.chmod(0o777)
    with pytest.raises(UploadPlaceError, match=r"anybody.*chmod o-w"):
        link.upload(b"x", str(real), "abc")
    real.chmod(0o1777)
    link.upload(b"x", str(real / "mine"), "abc")
    link.close()


def test_a_directory_of_somebody_else_is_refused(
    sshd: LoopbackServer, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this user's own, and the link takes itself for another's."""
    link = SshLink(sshd.options(there))
    (there / "bin").mkdir(parents=True)
    monkeypatch.setattr("microbench.boards.ssh_upload.ROOT", 54321)
    monkeypatch.setitem(vars(link), "_user_id", 12345)
    with pytest.raises(UploadPlaceError, match=r"belongs to user \d+, not to 12345.*user's own"):
        link.upload(b"x", str(there / "bin"), "abc")
    assert list((there / "bin").iterdir()) == []
    link.close()


def start_runner(link: SshLink, there: Path, timeout_s: float) -> RunnerClient:
    runner = build_runner("none", "nothing 1")
    program = link.upload(runner.read_bytes(), str(there / "bin"), content_sha256(runner))
    return RunnerClient(link.start((program, str(there), "60", "this test")), link.place, timeout_s)


def test_the_runner_answers_over_ssh(sshd: LoopbackServer, there: Path) -> None:
    link = SshLink(sshd.options(there))
    client = start_runner(link, there, 30.0)
    assert client.hello().software == "nothing 1"
    client.close()
    again = start_runner(link, there, 30.0)
    assert again.hello().backend == "none"
    again.close()
    link.close()


def test_what_the_board_prints_is_in_the_error(sshd: LoopbackServer, there: Path) -> None:
    link = SshLink(sshd.options(there))
    client = RunnerClient(link.start(("sh", "-c", "echo no such runner >&2")), link.place, 30.0)
    with pytest.raises(BoardError, match="no such runner"):
        client.hello()
    talking = RunnerClient(link.start(("echo", "Welcome to this fine board")), link.place, 30.0)
    with pytest.raises(BoardError, match=r"127\.0\.0\.1.*prints into the connection"):
        talking.hello()
    link.close()


def test_a_cut_connection_is_a_board_error_that_names_the_host(
    sshd: LoopbackServer, there: Path, tmp_path: Path
) -> None:
    with LinkProxy(sshd.port) as proxy:
        known = sshd.known_hosts_for(proxy.port, tmp_path / "known")
        link = SshLink(sshd.options(there, port=proxy.port, known_hosts_path=known))
        client = start_runner(link, there, 30.0)
        client.hello()
        proxy.cut()
        with pytest.raises(BoardError, match=rf"127\.0\.0\.1:{proxy.port}.*broke.*run again"):
            client.hello()
        with pytest.raises(BoardError, match="open the board again"):
            client.hello()
        client.close()
        link.close()


def test_a_frozen_connection_runs_into_the_time_limit(
    sshd: LoopbackServer, there: Path, tmp_path: Path
) -> None:
    with LinkProxy(sshd.port) as proxy:
        known = sshd.known_hosts_for(proxy.port, tmp_path / "known")
        link = SshLink(sshd.options(there, port=proxy.port, known_hosts_path=known))
        client = start_runner(link, there, 0.3)
        proxy.freeze()
        with pytest.raises(BoardError, match=r"no answer in 0 s|takes no data"):
            client.hello()
        client.close()
        link.close()
