"""What a network's outputs say to a person: the likeliest classes, boxes around what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from codegen.tensor import AnyArray
from explorer.errors import InputError
from explorer.infer.inputs import Frame, reason_of

MOST_BOXES = 300
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass(frozen=True)
class Class:
    """A class: its number in the output, its label where one is known, its score."""

    number: int
    label: str
    score: float


@dataclass(frozen=True)
class Box:
    """A box in pixels of the picture, x to the right and y down."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    number: int
    label: str


@dataclass(frozen=True)
class BoxOutputs:
    """Which outputs hold boxes: of the same length each, or with `selected`, what NonMaxSuppression chose of them.

    `boxes` [..., n, 4] as left, top, right, bottom (`order` `xyxy`) or top, left, bottom, right (`yxyx`), in
    pixels of the input or as parts of it. `scores` [..., n], with `selected` [1, classes, n]; `classes` [..., n].
    """

    boxes: str
    scores: str
    classes: str | None = None
    selected: str | None = None
    order: str = "xyxy"


def read_labels(path: Path) -> tuple[str, ...]:
    """A label a line; raises InputError where the file cannot be read."""
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as labels, one a line: {reason_of(error)}") from error


def top_classes(output: AnyArray, count: int, labels: Sequence[str]) -> tuple[Class, ...]:
    """The classes of the largest values of an output, the largest first; of equal ones the first.

    More labels than values, or fewer, raise InputError: they belong to another network.
    """
    values = output.reshape(-1).astype(np.float64)
    if labels and len(labels) != values.size:
        raise InputError(f"{len(labels)} labels for an output of {values.size} values")
    order = np.argsort(-values, kind="stable")[:count]
    return tuple(Class(int(i), labels[i] if labels else "", float(values[i])) for i in order)


def found_boxes(
    outputs: Mapping[str, AnyArray],
    names: BoxOutputs,
    frame: Frame,
    least: float,
    labels: Sequence[str],
) -> tuple[Box, ...]:
    """Boxes of at least the score `least`, the likeliest first, in the picture's pixels.

    Raises InputError for outputs that are not there or do not fit.
    """
    boxes = _output(outputs, names.boxes)
    if boxes.shape[-1:] != (4,):
        raise InputError(f"output {names.boxes!r} of the shape {boxes.shape} has no boxes of four numbers")
    corners = boxes.reshape(-1, 4).astype(np.float64)
    if names.order == "yxyx":
        corners = corners[:, [1, 0, 3, 2]]
    places, scores, classes = _chosen(outputs, names, len(corners))
    relative = bool(np.all(np.abs(corners) <= 2.0))
    stretch = np.array([frame.width, frame.height] * 2, dtype=np.float64) if relative else np.ones(4)
    moved = corners * stretch - [frame.left, frame.top, frame.left, frame.top]
    pixels = moved / [frame.scale_x, frame.scale_y, frame.scale_x, frame.scale_y]
    found = []
    for place, score, number in zip(places, scores, classes, strict=True):
        left, top, right, bottom = pixels[place].tolist()
        if score >= least:
            label = _label(labels, int(number))
            found.append(Box(left, top, right, bottom, float(score), int(number), label))
    return tuple(sorted(found, key=lambda box: -box.score))


def draw_boxes(picture: Image.Image, boxes: Sequence[Box], path: Path) -> None:
    """Writes the picture with its boxes; the name's ending says in which format. Raises InputError where it cannot."""
    drawn = picture.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    line = max(1, round(min(drawn.size) / 150))
    for box in boxes[:MOST_BOXES]:
        colour = COLOURS[box.number % len(COLOURS)]
        left, right = sorted((box.left, box.right))
        top, bottom = sorted((box.top, box.bottom))
        pen.rectangle((left, top, right, bottom), outline=colour, width=line)
        pen.text((left + line + 1, top + line + 1), f"{box.label or box.number} {box.score:.2f}", fill=colour)
    try:
        drawn.save(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written as a picture: {reason_of(error)}") from error


def _chosen(
    outputs: Mapping[str, AnyArray], names: BoxOutputs, count: int
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Places of boxes, their scores and their classes."""
    scores = _output(outputs, names.scores).astype(np.float64)
    if names.selected is not None:
        selected = _output(outputs, names.selected)
        if selected.shape[-1:] != (3,) or selected.dtype.kind != "i":
            raise InputError(
                f"output {names.selected!r} is {selected.dtype} of the shape {selected.shape}; "
                "NonMaxSuppression gives integers, three for each box"
            )
        selected = selected.reshape(-1, 3)
        selected = selected[np.all(selected >= 0, axis=1)]
        if scores.ndim != 3 or scores.shape[2] != count:
            raise InputError(
                f"output {names.scores!r} of the shape {scores.shape}: 1 x classes x {count} is wanted"
            )
        return selected[:, 2], scores[selected[:, 0], selected[:, 1], selected[:, 2]], selected[:, 1]
    scores = scores.reshape(-1)
    classes = (
        _output(outputs, names.classes).reshape(-1)
        if names.classes is not None
        else np.zeros(count, np.int64)
    )
    for name, values in ((names.scores, scores), (names.classes, classes)):
        if len(values) != count:
            raise InputError(f"output {name!r} has {len(values)} values for {count} boxes")
    return np.arange(count), scores, classes


def _output(outputs: Mapping[str, AnyArray], name: str) -> AnyArray:
    if name not in outputs:
        raise InputError(f"the network has no output {name!r}; it has {', '.join(map(repr, outputs))}")
    return outputs[name]


def _label(labels: Sequence[str], number: int) -> str:
    return labels[number] if 0 <= number < len(labels) else ""
