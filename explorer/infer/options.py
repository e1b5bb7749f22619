"""Options of `explore infer`, checked, and its files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codegen.tensor import AnyArray
from explorer.errors import UsageError
from explorer.infer.answers import BoxOutputs
from explorer.infer.inputs import FITS, Preparation

ORDERS = ("xyxy", "yxyx")


def preparation(mean: str, std: str, fit: str) -> Preparation:
    """--mean, --std and --fit; raises UsageError naming the malformed one."""
    means, deviations = _numbers("--mean", mean), _numbers("--std", std)
    if 0.0 in deviations:
        raise UsageError("--std cannot be 0: the picture is divided by it")
    for known in FITS:
        if fit == known:
            return Preparation(means, deviations, known)
    raise UsageError(f"--fit cannot be {fit!r}: {', '.join(FITS)}")


def box_outputs(
    boxes: str | None,
    scores: str | None,
    classes: str | None,
    selected: str | None,
    order: str,
    image: Path | None,
) -> BoxOutputs | None:
    """What --boxes and its companions name, None without; raises UsageError where one of them is missing."""
    if boxes is None:
        if scores or classes or selected:
            raise UsageError("--scores, --classes and --selected say nothing without --boxes")
        return None
    if scores is None:
        raise UsageError("--boxes needs --scores: which output holds how likely each box is")
    if image is None:
        raise UsageError("--boxes draws on a picture: give one by --image")
    if classes and selected:
        raise UsageError("--selected has the classes already: leave out --classes, or --selected")
    if order not in ORDERS:
        raise UsageError(f"--box-order cannot be {order!r}: {' or '.join(ORDERS)}")
    return BoxOutputs(boxes, scores, classes, selected, order)


def output_files(outputs: Mapping[str, AnyArray], directory: Path) -> None:
    """Every output as NAME.npy; characters that no file's name should have become `_`."""
    directory.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for name, value in outputs.items():
        stem = re.sub(r"[^\w.-]", "_", name).lstrip(".") or "output"
        while stem in taken:
            stem += "_"
        taken.add(stem)
        np.save(directory / f"{stem}.npy", value)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise UsageError(f"{option} {text!r} is malformed; an example: {option} 0.485,0.456,0.406")
    return values
