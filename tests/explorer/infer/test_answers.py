"""Classes and boxes out of outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codegen.tensor import AnyArray
from explorer.errors import InputError
from explorer.infer.answers import Box, BoxOutputs, draw_boxes, found_boxes, read_labels, top_classes
from explorer.infer.inputs import Frame

WHOLE = Frame(1.0, 1.0, 0.0, 0.0, 200, 100)


def test_the_largest_values_come_first_and_of_equal_ones_the_first() -> None:
    found = top_classes(np.array([[0.1, 0.7, 0.7, 0.0]], np.float32), 3, ["a", "b", "c", "d"])
    assert [(c.number, c.label) for c in found] == [(1, "b"), (2, "c"), (0, "a")]
    assert found[0].score == pytest.approx(0.7)


def test_fewer_values_than_asked_for_are_all_shown() -> None:
    assert len(top_classes(np.ones(2, np.int8), 5, [])) == 2


def test_labels_of_another_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n", encoding="utf-8")
    labels = read_labels(tmp_path / "labels.txt")
    with pytest.raises(InputError, match="2 labels for an output of 3 values"):
        top_classes(np.ones(3), 1, labels)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="labels"):
        read_labels(tmp_path / "labels.txt")


def test_boxes_come_back_to_the_picture_s_pixels() -> None:
    outputs: dict[str, AnyArray] = {
        "b": np.array([[[10, 20, 30, 40], [0, 0, 64, 64]]], np.float32),
        "s": np.array([[0.9, 0.2]], np.float32),
        "c": np.array([[1, 0]], np.int64),
    }
    frame = Frame(
        0.5, 0.5, 4.0, -8.0, 64, 64
    )  # half as large, four pixels to the right, the upper eight cut off
    (found,) = found_boxes(outputs, BoxOutputs("b", "s", "c"), frame, 0.5, ["cat", "dog"])
    assert found == Box(12.0, 56.0, 52.0, 96.0, pytest.approx(0.9), 1, "dog")  # type: ignore[arg-type]


def test_parts_of_the_input_and_the_other_order() -> None:
    outputs: dict[str, AnyArray] = {
        "b": np.array([[0.25, 0.5, 0.75, 1.0]], np.float32),
        "s": np.array([0.9], np.float32),
    }
    (found,) = found_boxes(outputs, BoxOutputs("b", "s", order="yxyx"), WHOLE, 0.5, [])
    assert (found.left, found.top, found.right, found.bottom) == (100.0, 25.0, 200.0, 75.0)


def test_what_non_max_suppression_chose() -> None:
    outputs: dict[str, AnyArray] = {
        "b": np.array([[[0, 0, 10, 10], [5, 5, 20, 20], [1, 1, 11, 11]]], np.float32),
        "s": np.array([[[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]], np.float32),
        "n": np.array([[0, 1, 1], [0, 0, 2], [-1, -1, -1]], np.int64),
    }
    found = found_boxes(outputs, BoxOutputs("b", "s", selected="n"), WHOLE, 0.25, [])
    assert [(box.left, box.number, round(box.score, 6)) for box in found] == [(5.0, 1, 0.8), (1.0, 0, 0.3)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (BoxOutputs("q", "s"), "no output 'q'; it has 'b', 's', 'c', 'n'"),
        (BoxOutputs("s", "s"), "no boxes of four numbers"),
        (BoxOutputs("b", "c"), "1 values for 2 boxes"),
        (BoxOutputs("b", "s", selected="b"), "three for each box"),
        (BoxOutputs("b", "s", selected="n"), "1 x classes x 2 is wanted"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(names: BoxOutputs, message: str) -> None:
    outputs: dict[str, AnyArray] = {
        "b": np.zeros((2, 4)),
        "s": np.zeros(2),
        "c": np.zeros(1),
        "n": np.zeros((1, 3), np.int64),
    }
    with pytest.raises(InputError, match=message):
        found_boxes(outputs, names, WHOLE, 0.5, [])


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    blank = Image.new("RGB", (60, 40))
    draw_boxes(blank, [Box(10, 5, 50, 30, 0.9, 0, "")], tmp_path / "boxes.png")
    with Image.open(tmp_path / "boxes.png") as drawn:
        values = np.asarray(drawn)
    assert values[5, 10:51].any(axis=1).all()
    assert values[30, 10:51].any(axis=1).all()
    assert not values[:5].any()
    assert not values[:, 51:].any()
    with pytest.raises(InputError, match=r"boxes\.cat"):
        draw_boxes(blank, [], tmp_path / "boxes.cat")
