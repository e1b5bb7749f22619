"""Boards are found by name through entry points, whoever brings them."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

import pytest
from pydantic import Field

from microbench import registry
from microbench.boards.null import NullBoard
from microbench.errors import BoardError, BoardOptionError, ProfileError
from microbench.options import BoardOptions, OwnOptions
from microbench.profile import PROFILE_DIRECTORY, DeviceProfile
from microbench.registry import board_class, known_boards, open_board


def test_built_in_boards_are_registered() -> None:
    assert {"null", "replay", "ssh"} <= set(known_boards())
    assert board_class("null") is NullBoard


@pytest.mark.parametrize("name", known_boards())
def test_every_option_of_a_board_is_described_and_may_be_left_out_by_those_built_in(name: str) -> None:
    declared = board_class(name).own_options
    assert declared() == declared.model_validate({})
    assert all(option.description for option in declared.model_fields.values())


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


class Tuned(OwnOptions):
    """Options of a board for tests."""

    serial: str = Field(default="", description="which one")
    cores: int = Field(ge=1, default=2, description="how many")


class TunedBoard(NullBoard):
    """A null board that shows the options it was opened with."""

    own_options = Tuned

    def __init__(self, profile: DeviceProfile, own: Tuned) -> None:
        super().__init__(profile)
        self.own = own

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> TunedBoard:
        return cls(profile, options.own_as(Tuned))


class SilentBoard(NullBoard):
    """A board whose author forgot a word about it."""

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> NullBoard:
        board = object.__new__(_Silent)
        return cast(NullBoard, board)


class _Silent:
    name = "silent"
    reads_clock = records = False
    profile = target = None

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A profile whose board is a plug-in's, with options of its own."""
    points = [
        EntryPoint(name, f"{__name__}:{kind.__name__}", registry.ENTRY_POINT_GROUP)
        for name, kind in (("tuned", TunedBoard), ("silent", SilentBoard), ("null", NullBoard))
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    text = (PROFILE_DIRECTORY / "host.toml").read_text().replace('board = "host"', 'board = "tuned"')
    (tmp_path / "mine.toml").write_text(text + '\n[board_options]\nserial = "R58"\n')
    return str(tmp_path / "mine.toml")


def test_a_profile_may_name_any_registered_board_and_its_options(tuned: str) -> None:
    with open_board(tuned) as board:
        assert isinstance(board, TunedBoard)
        assert board.own == Tuned(serial="R58", cores=2)
    with open_board(tuned, options={"cores": "3", "serial": "X"}) as board:
        assert cast(TunedBoard, board).own == Tuned(serial="X", cores=3)
    with open_board(tuned, board="null") as board:
        assert type(board) is NullBoard


def test_a_profile_s_unknown_board_is_named_with_the_known(tuned: str) -> None:
    Path(tuned).write_text(Path(tuned).read_text().replace('"tuned"', '"abacus"'))
    with pytest.raises(BoardError, match=r"mine\.toml.*abacus.*null, silent, tuned.*plug-in"):
        open_board(tuned)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"colour": "red"},
            r"'tuned': it has no option 'colour'.*serial \(str, default ''\): which one; cores",
        ),
        ({"cores": "many"}, r"option 'cores'.*integer.*cores \(int, default 2\): how many"),
        ({"cores": 0}, "option 'cores'.*greater"),
        ({"serial": 5}, "option 'serial'.*string"),
    ],
)
def test_an_option_that_the_board_does_not_take_lists_those_it_takes(
    tuned: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(BoardOptionError, match=message):
        open_board(tuned, options=options)


def test_a_board_without_options_refuses_all() -> None:
    with pytest.raises(BoardOptionError, match=r"'virtual': it has no option 'cores'; its options are: none"):
        open_board("pi-zero", board="virtual", options={"cores": 1})


def test_a_board_that_does_not_say_what_it_can_is_refused(tuned: str) -> None:
    with pytest.raises(BoardError, match="'silent' does not say computes of itself"):
        open_board(tuned, board="silent", options={})


@pytest.mark.parametrize("answer_s", [-1, 61, "soon"])
def test_a_null_board_answers_within_a_minute(answer_s: object) -> None:
    assert open_board("pi-zero", board="null", options={"answer_s": "0.25"})
    with pytest.raises(BoardOptionError, match="answer_s"):
        open_board("pi-zero", board="null", options={"answer_s": answer_s})
