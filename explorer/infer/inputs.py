"""What a network is fed: a picture made to fit its input, arrays from NumPy's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from codegen.plan import PlanTensor
from codegen.tensor import AnyArray
from explorer.errors import InputError

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")
NPY_MAGIC, NPZ_MAGIC = b"\x93NUMPY", b"PK\x03\x04"
CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
MOST_PIXELS = 1 << 28  # of a picture's file: a bomb is refused before it is unpacked


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes numbers: values from 0 to 1, less `mean`, over `std`, of each channel or of all.

    `fit`: `crop` scales the shorter side to the input's and cuts the middle out; `pad` scales the longer side and
    fills up with black; `stretch` scales both. Integer inputs take the bytes as they are.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    fit: Fit = "crop"


@dataclass(frozen=True)
class Frame:
    """Where the picture lies in the input: pixels of the input a pixel of the picture, its upper left corner, and how
    large the input is.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float
    width: int
    height: int


def reason_of(error: Exception) -> str:
    """What a system or a library says of a file, without the file's name where it comes apart."""
    return getattr(error, "strerror", None) or str(error)


def open_picture(path: Path) -> Image.Image:
    """A picture of any kind that Pillow reads; raises InputError for any other file."""
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InputError(f"{path} has {opened.width} x {opened.height} pixels: make it smaller")
            opened.load()
            return opened.convert("RGB") if opened.mode in ("P", "CMYK", "YCbCr", "LA") else opened.copy()
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is no picture that Pillow reads: name a JPEG, a PNG, or the like"
        ) from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture: {reason_of(error)}") from error


def picture_input(inputs: Sequence[PlanTensor]) -> PlanTensor:
    """The input that takes a picture; raises InputError where there is none or more than one."""
    found = [tensor for tensor in inputs if _plane(tensor) is not None]
    if len(found) != 1:
        listed = ", ".join(_described(tensor) for tensor in inputs)
        raise InputError(
            f"a picture goes to one input of the shape 1 x channels x height x width (channels 1, 3 or 4, or last); "
            f"this network has {listed}: give arrays by --input"
        )
    return found[0]


def picture_array(
    picture: Image.Image, tensor: PlanTensor, preparation: Preparation
) -> tuple[AnyArray, Frame]:
    """The picture as an array of the input's shape and element type, and where it lies there.

    Raises InputError where mean or deviation do not fit the channels.
    """
    plane = _plane(tensor)
    if plane is None:
        raise InputError(f"{_described(tensor)} takes no picture")
    channels, height, width, channels_last = plane
    converted = picture.convert(CHANNELS[channels])
    fitted, frame = _fitted(converted, width, height, preparation.fit)
    values = np.asarray(fitted, dtype=np.uint8).reshape(height, width, channels)
    dtype = tensor.type.element_type.dtype
    if dtype.kind == "f":
        mean, std = (
            _of_channels(name, part, channels)
            for name, part in (("--mean", preparation.mean), ("--std", preparation.std))
        )
        array: AnyArray = ((values / 255.0 - mean) / std).astype(dtype)
    else:
        array = values.astype(dtype)
    ordered = array if channels_last else array.transpose(2, 0, 1)
    return np.ascontiguousarray(ordered).reshape(tensor.shape), frame


def array_inputs(texts: Sequence[str], inputs: Sequence[PlanTensor]) -> Mapping[str, AnyArray]:
    """`FILE.npy` of the only input, or `NAME=FILE.npy` of each; raises InputError for what does not fit."""
    by_name = {tensor.name: tensor for tensor in inputs}
    found: dict[str, AnyArray] = {}
    for text in texts:
        name, separator, file = text.partition("=")
        if not separator:
            if len(inputs) != 1:
                raise InputError(f"--input {text}: say which: NAME=FILE, of {', '.join(by_name)}")
            name, file = inputs[0].name, text
        if name not in by_name:
            raise InputError(f"the network has no input {name!r}; it has {', '.join(map(repr, by_name))}")
        if name in found:
            raise InputError(f"--input gives {name!r} twice; leave one out")
        found[name] = _read_array(Path(file), by_name[name])
    return found


def _read_array(path: Path, tensor: PlanTensor) -> AnyArray:
    try:
        if not path.read_bytes().startswith((NPY_MAGIC, NPZ_MAGIC)):
            raise InputError(f"{path} is no array of NumPy's (.npy): save one by numpy.save")
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read as an array of NumPy's (.npy): {reason_of(error)}"
        ) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} holds several arrays; save one by numpy.save")
    dtype = tensor.type.element_type.dtype
    if array.shape != tensor.shape or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise InputError(
            f"{path} is {array.dtype} of the shape {array.shape}; {_described(tensor)} is wanted"
        )
    return np.ascontiguousarray(array.astype(dtype, copy=False))


def _plane(tensor: PlanTensor) -> tuple[int, int, int, bool] | None:
    """Channels, height and width of a picture, and whether channels are last; None where it takes none."""
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or tensor.type.element_type.dtype.kind not in "fiu":
        return None
    if shape[1] in CHANNELS:
        return shape[1], shape[2], shape[3], False
    return (shape[3], shape[1], shape[2], True) if shape[3] in CHANNELS else None


def _fitted(picture: Image.Image, width: int, height: int, fit: Fit) -> tuple[Image.Image, Frame]:
    ratios = width / picture.width, height / picture.height
    if fit == "stretch":
        scaled = picture.resize((width, height), Image.Resampling.BILINEAR)
        return scaled, Frame(ratios[0], ratios[1], 0.0, 0.0, width, height)
    ratio = max(ratios) if fit == "crop" else min(ratios)
    size = max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))
    scaled = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cut = scaled.crop((left, top, left + width, top + height))  # black where it lies outside
    return cut, Frame(size[0] / picture.width, size[1] / picture.height, -left, -top, width, height)


def _of_channels(name: str, values: tuple[float, ...], channels: int) -> AnyArray:
    if len(values) not in (1, channels):
        raise InputError(f"{name}: one number for all channels or {channels}, not {len(values)}")
    return np.asarray(values, dtype=np.float64)


def _described(tensor: PlanTensor) -> str:
    return f"{tensor.name!r} ({tensor.dtype} {' x '.join(map(str, tensor.shape)) or 'scalar'})"
