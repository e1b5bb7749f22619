"""Pictures and arrays on their way into a network, beside NumPy's own reading of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codegen.plan import PlanTensor
from explorer.errors import InputError
from explorer.infer.inputs import (
    Preparation,
    array_inputs,
    open_picture,
    picture_array,
    picture_input,
)

INPUT = PlanTensor(name="x", shape=(1, 3, 8, 10))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values, "RGB")


def test_a_picture_of_the_input_s_size_is_only_normalised() -> None:
    given = picture(8, 10)
    array, frame = picture_array(given, INPUT, Preparation(MEAN, STD))
    bytes_ = np.asarray(given, dtype=np.float64)
    wanted = (bytes_ / 255 - MEAN) / STD
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, wanted.transpose(2, 0, 1)[None], rtol=1e-6)
    assert (frame.scale_x, frame.scale_y, frame.left, frame.top) == (1, 1, 0, 0)


def test_crop_keeps_the_middle() -> None:
    values = np.zeros((8, 30, 3), np.uint8)
    values[:, 10:20] = 255
    array, frame = picture_array(Image.fromarray(values, "RGB"), INPUT, Preparation())
    assert np.all(array == 1.0)
    assert frame.left == -10


def test_pad_keeps_all_and_fills_with_black() -> None:
    values = np.full((8, 30, 3), 255, np.uint8)
    array, frame = picture_array(Image.fromarray(values, "RGB"), INPUT, Preparation(fit="pad"))
    rows = array[0, 0].max(axis=1)
    assert list(rows) == [0, 0, 0, 1, 1, 1, 0, 0]
    assert frame.top == 3


def test_stretch_fills_the_input() -> None:
    array, frame = picture_array(picture(16, 5), INPUT, Preparation(fit="stretch"))
    assert array.shape == INPUT.shape
    assert (frame.scale_x, frame.scale_y) == (2.0, 0.5)


def test_integer_inputs_take_bytes_and_channels_may_be_last() -> None:
    tensor = PlanTensor(name="x", shape=(1, 8, 10, 3), dtype="uint8")
    given = picture(8, 10)
    array, _ = picture_array(given, tensor, Preparation())
    assert array.dtype == np.uint8
    assert np.array_equal(array[0], np.asarray(given))


def test_grey_inputs_take_coloured_pictures() -> None:
    tensor = PlanTensor(name="x", shape=(1, 1, 8, 10))
    array, _ = picture_array(picture(8, 10), tensor, Preparation())
    assert array.shape == (1, 1, 8, 10)


def test_the_input_of_a_picture_must_be_plain() -> None:
    assert picture_input([PlanTensor(name="n", shape=(1, 4)), INPUT]) == INPUT
    with pytest.raises(InputError, match=r"'n' \(float32 1 x 4\)"):
        picture_input([PlanTensor(name="n", shape=(1, 4))])
    with pytest.raises(InputError, match="one input"):
        picture_input([INPUT, PlanTensor(name="z", shape=(1, 1, 4, 4))])


def test_a_mean_of_two_numbers_fits_no_three_channels() -> None:
    with pytest.raises(InputError, match="--mean: one number for all channels or 3, not 2"):
        picture_array(picture(8, 10), INPUT, Preparation(mean=(0.5, 0.5)))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.png"):
        open_picture(path)


def test_half_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    picture(64, 64).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"x\.png"):
        open_picture(path)


def test_arrays_come_from_numpy_s_files(tmp_path: Path) -> None:
    value = np.arange(240, dtype=np.float32).reshape(INPUT.shape)
    np.save(tmp_path / "a.npy", value)
    for text in (str(tmp_path / "a.npy"), f"x={tmp_path / 'a.npy'}"):
        found = array_inputs([text], [INPUT])
        assert np.array_equal(found["x"], value)


def test_doubles_become_floats_and_floats_no_integers(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(INPUT.shape))
    assert array_inputs([str(tmp_path / "a.npy")], [INPUT])["x"].dtype == np.float32
    ids = PlanTensor(name="ids", shape=INPUT.shape, dtype="int64")
    with pytest.raises(InputError, match=r"float64 of the shape .*int64 1 x 3 x 8 x 10"):
        array_inputs([str(tmp_path / "a.npy")], [ids])


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((1, 3, 8, 9), np.float32))
    np.savez(tmp_path / "b.npz", np.ones(3))
    (tmp_path / "c.npy").write_text("text")
    np.save(tmp_path / "d.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    two = [INPUT, PlanTensor(name="z", shape=(1,))]
    for text, tensors, message in (
        ("a.npy", [INPUT], r"\(1, 3, 8, 9\); 'x' \(float32 1 x 3 x 8 x 10\)"),
        ("b.npz", [INPUT], "several arrays"),
        ("c.npy", [INPUT], "is no array of NumPy"),
        ("d.npy", [INPUT], "cannot be read"),
        ("e.npy", [INPUT], "No such file"),
        ("a.npy", two, "say which: NAME=FILE, of x, z"),
    ):
        with pytest.raises(InputError, match=message):
            array_inputs([str(tmp_path / text)], tensors)
    with pytest.raises(InputError, match="no input 'q'; it has 'x'"):
        array_inputs([f"q={tmp_path / 'a.npy'}"], [INPUT])
