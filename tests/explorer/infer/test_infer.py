"""`explore infer` beside onnxruntime on the same array."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny network and a run of it on the virtual board."""
    place = tmp_path_factory.mktemp("infer")
    model = write_tiny_model(place / "tiny.onnx")
    result = explore(
        "run",
        "--model",
        model,
        "--store",
        place / "samples.sqlite",
        "--out",
        place / "run",
        "--layer-budget",
        "1",
    )
    assert result.exit_code == 0, result.output
    return model, place / "run"


def wanted(model: Path, value: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": value})[0])


def test_a_picture_gives_the_classes_that_onnxruntime_gives(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    model, run = finished
    bytes_ = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(bytes_, "RGB").save(tmp_path / "cat.png")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n", encoding="utf-8")
    options = (
        "--mean",
        "0.485,0.456,0.406",
        "--std",
        "0.229,0.224,0.225",
        "--labels",
        tmp_path / "labels.txt",
    )
    result = explore(
        "infer", run, "--image", tmp_path / "cat.png", *options, "--json", "--out", tmp_path / "out"
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    array = ((bytes_ / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(np.float32)
    expected = wanted(model, np.ascontiguousarray(array.transpose(2, 0, 1))[None])
    order = np.argsort(-expected[0])
    assert [c["number"] for c in told["outputs"]["y"]] == list(order)
    assert [c["label"] for c in told["outputs"]["y"]] == ["abcde"[i] for i in order]
    assert told["kind"] in ("simulated", "modelled")
    assert told["time_s"] > 0
    np.testing.assert_allclose(np.load(tmp_path / "out" / "y.npy"), expected, rtol=1e-3, atol=1e-3)


def test_an_array_and_a_table_for_people(finished: tuple[Path, Path], tmp_path: Path) -> None:
    model, run = finished
    value = np.random.default_rng(4).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", value)
    result = explore("infer", run, "--input", tmp_path / "x.npy", "--top", "1")
    assert result.exit_code == 0, result.output
    first = f"{int(np.argmax(wanted(model, value)))}"
    assert first in [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    assert "on virtual pi-zero" in result.stdout


def test_what_is_missing_or_contradicts_is_said(finished: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = finished
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    refused(explore("infer", run), "nothing is given for the input 'x'")
    refused(explore("infer", tmp_path), "plan.json")
    picture = ("--image", tmp_path / "a.png")
    refused(explore("infer", run, "--image", tmp_path / "b.png"), "b.png")
    refused(explore("infer", run, *picture, "--std", "0"), "--std cannot be 0")
    refused(explore("infer", run, *picture, "--mean", "a"), "--mean 'a' is malformed")
    refused(explore("infer", run, *picture, "--fit", "squeeze"), "crop, pad, stretch")
    refused(explore("infer", run, *picture, "--boxes", "y"), "--scores")
    refused(explore("infer", run, *picture, "--scores", "y"), "without --boxes")
    refused(explore("infer", run, *picture, "--boxes", "y", "--scores", "y"), "no boxes of four numbers")
    refused(explore("infer", run, *picture, "--board", "null"), "null board")
