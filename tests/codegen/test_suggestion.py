"""Names that do not exist: the nearest of those that there are is told, and nothing where none is near."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.suggestion import unknown
from cost_models.errors import CostModelError
from cost_models.registry import cost_model_named
from explorer.qpu.files import load_words
from microbench.errors import BoardError
from microbench.profile import load_profile
from microbench.registry import board_class


def test_the_nearest_name_is_told_where_one_is_near() -> None:
    assert unknown("virtul", ("host", "virtual")) == "'virtul', did you mean 'virtual'?"
    assert unknown("xyz", ("host", "virtual")) == "'xyz';"


def test_boards_and_cost_models_are_suggested() -> None:
    with pytest.raises(BoardError, match="did you mean 'virtual'"):
        board_class("virtul")
    with pytest.raises(CostModelError, match="did you mean 'roofline'"):
        cost_model_named("rofline", load_profile("pi-zero"))


def test_a_missing_program_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.hex"
    with pytest.raises(Exception, match="No such file") as caught:
        load_words(path)
    assert str(caught.value).count(str(path)) == 1
