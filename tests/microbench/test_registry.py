"""Boards are found by name through entry points, whoever brings them."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from microbench import registry
from microbench.boards.null import NullBoard
from microbench.errors import BoardError, ProfileError
from microbench.registry import board_class, known_boards, open_board


def test_built_in_boards_are_registered() -> None:
    assert {"null", "replay", "ssh"} <= set(known_boards())
    assert board_class("null") is NullBoard


def test_opens_a_board_with_the_clock_asked_for() -> None:
    with open_board("pi-zero", board="null", v3d_hz=300e6) as board:
        assert isinstance(board, NullBoard)
        assert board.fingerprint().clock_hz == 300e6
        assert board.target.v3d_clock_hz == 300e6
    with open_board("pi-zero", board="null") as board:
        assert board.fingerprint().clock_hz == 250e6


def test_an_unknown_device_lists_the_known() -> None:
    with pytest.raises(ProfileError, match=r"pi-nought.*pi-zero"):
        open_board("pi-nought")


def test_an_unknown_board_lists_the_known() -> None:
    with pytest.raises(BoardError, match=r"abacus.*null.*replay"):
        open_board("pi-zero", board="abacus")


def test_boards_that_lack_what_they_need_say_so() -> None:
    with pytest.raises(BoardError, match="--store"):
        open_board("pi-zero", board="replay")
    with pytest.raises(BoardError, match="--ssh"):
        open_board("pi-zero", board="ssh")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:Board", "does not load"),
        ("microbench.boards.null:NoSuchBoard", "does not load"),
        ("microbench.options:SshOptions", "no class method open"),
    ],
)
def test_a_broken_plug_in_is_named(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    broken = EntryPoint("broken", value, registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    with pytest.raises(BoardError, match=message):
        board_class("broken")


def test_two_boards_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("null", f"plugin{n}:Board", registry.ENTRY_POINT_GROUP) for n in (1, 2)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(BoardError, match="several boards are named 'null'"):
        board_class("null")
