"""ONNX tensors to numpy arrays, with data in the file or in files beside it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from codegen.errors import ModelError, UnsupportedTypeError
from codegen.tensor import Array

MOST_BYTES = 2**30  # of one constant: more than any board that this project targets can address
MAX_ELEMENTS = MOST_BYTES // 4  # of any tensor
CONVERTIBLE = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.BOOL,
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
    }
)
NARROW: Mapping[int, np.dtype[Any]] = {
    TensorProto.INT4: np.dtype(np.int8),
    TensorProto.UINT4: np.dtype(np.uint8),
}
"""Element types of weights that take half a byte, and those that hold them."""


def type_name(data_type: int) -> str:
    """The name of an ONNX element type, for messages."""
    known = TensorProto.DataType.values()
    return (
        TensorProto.DataType.Name(TensorProto.DataType.ValueType(data_type))
        if data_type in known
        else f"type {data_type}"
    )


def to_array(tensor: TensorProto, what: str, directory: Path, *, takes_narrow: bool = False) -> Array:
    """The value of a tensor, of integers of 4 bits in those of 8; external data are looked for in `directory`.

    Raises ModelError naming `what`, and the file of external data that are missing or too short.
    """
    held = NARROW.get(tensor.data_type) if takes_narrow else None
    if held is None and tensor.data_type not in CONVERTIBLE:
        raise UnsupportedTypeError(
            f"{what} has elements of {type_name(tensor.data_type)}; supported are float16 to float64, integers of 8 to "
            "64 bits and bool; export the model with these"
        )
    shape = tuple(tensor.dims)
    if any(dimension < 0 for dimension in shape):
        raise ModelError(f"{what} has shape {shape}; the model is malformed, export it again")
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external(tensor, what, directory)
    try:
        value = numpy_helper.to_array(tensor)
        return value if held is None else value.astype(held)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(
            f"{what} of shape {shape} does not hold its data ({error}); export the model again"
        ) from error


def _external(tensor: TensorProto, what: str, directory: Path) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _external_path(entries.get("location", ""), what, directory)
    held = NARROW.get(tensor.data_type)
    dtype = np.dtype(held or helper.tensor_dtype_to_np_dtype(tensor.data_type)).newbyteorder("<")
    shape = tuple(tensor.dims)
    count = int(np.prod(shape, dtype=object))
    size = count * dtype.itemsize if held is None else -(-count // 2)
    offset = _count(entries.get("offset", "0"), "offset", what)
    length = _count(entries.get("length", str(size)), "length", what)
    if length != size:
        raise ModelError(
            f"{what} of shape {shape} wants {size} bytes of external data, not {length}; export it again"
        )
    if size > MOST_BYTES:
        raise ModelError(
            f"{what} of shape {shape} has {size} bytes, of which a tensor may have {MOST_BYTES}; make it smaller"
        )
    try:
        with open_data_file(path) as file:
            if offset + size > os.fstat(file.fileno()).st_size:
                raise ModelError(
                    f"{what}: external data file {path} ends before byte {offset + size}: "
                    "it is truncated; copy it again"
                )
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise ModelError(
            f"{what}: external data file {path} cannot be read ({error.strerror or error}); put it beside the model"
        ) from error
    found = np.frombuffer(data, dtype=dtype) if held is None else _halves(data, held)[:count]
    return found.reshape(shape).astype(dtype.newbyteorder("="))


def _halves(data: bytes, dtype: np.dtype[Any]) -> Array:
    """The two numbers that each byte holds, the lower one first."""
    whole: Array = np.frombuffer(data, dtype=dtype)
    both: Array = np.stack([np.left_shift(whole, 4), whole], axis=1)
    return np.asarray(np.right_shift(both, 4)).reshape(-1)


def _external_path(location: str, what: str, directory: Path) -> Path:
    relative = PurePosixPath(location)
    if not location or relative.is_absolute() or ".." in relative.parts or "\0" in location:
        raise ModelError(
            f"{what}: external data location {location!r} is no path below the model's directory; "
            "export it again"
        )
    path = directory / relative
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ModelError(
            f"{what}: external data file {path} is a link to a place outside the model's directory; copy the file there"
        )
    return path


def open_data_file(path: Path) -> BinaryIO:
    """A regular file for reading; raises OSError for what might never end or answer: a pipe, a socket, a device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def _count(text: str, key: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ModelError(f"{what}: {key} of its external data is {text!r}, not a count; export it again")
    return int(text)
