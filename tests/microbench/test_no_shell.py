"""No name reaches a shell as anything but a name: not here, not on the board."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codegen.bundle import compile_bundle
from codegen.reference import evaluate
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_link import SshLink, check_remote_directory, command_line
from microbench.boards.ssh_upload import FILE_NAME
from microbench.devices import find_device, parse_devices
from microbench.devices_file import add_board, new_board
from microbench.errors import BoardError, DevicesError, ProfileError
from microbench.profile import load_profile
from tests.codegen.planned import plan_of, small_network
from tests.microbench.loopback_sshd import LoopbackServer, sshd

__all__ = ["sshd"]

HOSTILE = (
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "a b",
    "a\ntouch pwned",
    "-rf",
    "--help",
    "' ; touch pwned '",
    '" ; touch pwned "',
    "a&&touch pwned",
    "a|touch pwned",
    ">pwned",
    "~/x",
    "*",
)
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5))
@example(list(HOSTILE))
def test_a_shell_takes_a_command_line_apart_into_the_same_words(words: list[str]) -> None:
    line = command_line(("printf", r"%s\0", *words))
    said = subprocess.run(["sh", "-c", line], capture_output=True, check=True, timeout=60).stdout
    assert said == b"".join(word.encode() + b"\0" for word in words)


@pytest.mark.parametrize("words", [(), ("a\0b",), ("true", "\0")])
def test_what_no_command_line_can_hold_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(BoardError, match="no command"):
        command_line(words)


@given(st.one_of(WORDS, st.from_regex(r"[a-z./; $`\n-]{1,12}", fullmatch=True)))
def test_a_remote_directory_is_plain_or_refused(path: str) -> None:
    try:
        check_remote_directory(path)
    except BoardError:
        return
    assert shlex.quote(path) == path and path.isascii()
    assert not any(part == ".." or part.startswith("-") for part in path.split("/"))


@given(st.one_of(WORDS, st.from_regex(r"[a-f0-9./; $`\n-]{1,12}", fullmatch=True)))
def test_an_uploads_name_is_plain_or_refused(name: str) -> None:
    if FILE_NAME.fullmatch(name):
        assert shlex.quote(name) == name and "/" not in name and not name.startswith(("-", "."))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_board_has_such_a_name_host_or_user(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devices.toml"
    for fields in ({"host": text}, {"host": "pi", "user": text}, {"host": "pi", "jump": f"{text}@gate:22"}):
        with pytest.raises(DevicesError):
            new_board(profile="pi-zero", **fields)
    with pytest.raises(DevicesError):
        add_board(path, text, new_board(profile="pi-zero", host="pi"))
    assert not path.exists()
    with pytest.raises(ProfileError, match="unknown device"):
        find_device(text, path)


def test_a_way_to_launch_is_one_of_two() -> None:
    text = '[boards.kitchen]\nprofile = "pi-zero"\nhost = "pi"\nlaunch = "{}"\n'
    for launch in ("mailbox", "registers"):
        reached = parse_devices(text.format(launch), "file")["kitchen"].ssh()
        assert reached is not None and reached.launch == launch
    with pytest.raises(DevicesError, match="launch"):
        new_board(profile="pi-zero", host="pi", launch="semaphore")
    with pytest.raises(DevicesError, match=r"boards\.kitchen\.launch"):
        parse_devices(text.format("registers; touch pwned"), "file")


@pytest.mark.parametrize("text", HOSTILE)
def test_the_link_takes_users_and_keys_for_names(
    sshd: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    own = sshd.options(tmp_path / "there")
    with pytest.raises(BoardError, match=r"authorized_keys|cannot connect"):
        SshLink(dataclasses.replace(own, user=text))
    with pytest.raises(BoardError, match="remote directory"):
        SshLink(dataclasses.replace(own, remote_directory=text))
    with contextlib.suppress(OSError):  # a name with a slash is a path
        shutil.copy(own.key_path or "", tmp_path / text)
        link = SshLink(dataclasses.replace(own, key_path=Path(text)))
        assert link.run(("printf", "%s", text)) == text.strip()
        link.close()
    assert not list(tmp_path.rglob("pwned"))
    assert not (Path.home() / "pwned").exists()


def test_a_host_is_looked_up_and_nothing_else(
    sshd: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def look_up(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        raise socket.gaierror("nobody of this name")

    monkeypatch.setattr(socket, "create_connection", look_up)
    for text in HOSTILE:
        with pytest.raises(BoardError, match="cannot connect"):
            SshLink(dataclasses.replace(sshd.options(tmp_path / "there"), host=text))
    assert asked == [(text, sshd.port) for text in HOSTILE]


def test_a_network_and_its_bundle_may_have_any_name(
    sshd: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled here and run on the board, from a directory whose own name would do harm."""
    monkeypatch.chdir(tmp_path)
    graph = small_network("$(touch pwned); `touch pwned`\n-x \" ' */ touch pwned")
    source = np.random.default_rng(1).normal(size=graph.types["x"].shape).astype(np.float32)
    bundle = tmp_path / "-run; $(touch pwned) `touch pwned`\n"
    with SshBoard(load_profile("host"), sshd.options(tmp_path / "there")) as board:
        compile_bundle(graph, plan_of(graph), board.target, bundle)
        run = board.run_bundle(bundle, (source.reshape(-1),))
    for output, expected in zip(run.outputs, evaluate(graph, {"x": source}).values(), strict=True):
        np.testing.assert_allclose(output, expected.reshape(-1), rtol=1e-4, atol=1e-5)
    assert not list(tmp_path.rglob("pwned"))
    assert not (Path.home() / "pwned").exists()
