"""What the options of `explore qpu run` mean: the program, its uniforms, its buffers and the files they come from."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.errors import OutputError, UsageError
from explorer.qpu.files import load_words
from microbench.virtual.program import BufferAddress, ProgramRun, QpuNumber, QpuProgram, UniformValue

_NAME = re.compile(r"[A-Za-z_]\w*")
_ADDRESS = re.compile(rf"({_NAME.pattern})((?:\+\w+)?)((?:\+\w+\*qpu)?)")
LARGEST_BUFFER_BYTES = 1 << 30


@dataclass(frozen=True)
class ProgramOptions:
    """The options as they were given; `load` reads the files and raises UsageError or ListingError."""

    program: Path
    form: str
    qpus: int
    uniforms: Sequence[str]
    inputs: Sequence[str]
    buffers: Sequence[str]

    def load(self) -> QpuProgram:
        contents: dict[str, NDArray[np.uint8]] = {}
        for name, content in (*map(_input, self.inputs), *map(_buffer, self.buffers)):
            if name in contents:
                raise UsageError(f"the buffer {name!r} is given twice: name each once with --in or --buffer")
            contents[name] = content
        uniforms = tuple(value for text in self.uniforms for value in uniform_values(text))
        for value in uniforms:
            if isinstance(value, BufferAddress) and value.buffer not in contents:
                raise UsageError(
                    f"--uniform {value.buffer}: no such buffer; give it with --in {value.buffer}=FILE or "
                    f"--buffer {value.buffer}=BYTES"
                )
        return QpuProgram(load_words(self.program, self.form), uniforms, contents, self.qpus)


def uniform_values(text: str) -> Iterator[UniformValue]:
    """The words that one --uniform stands for; raises UsageError."""
    if text.startswith("@"):
        data = _read(Path(text[1:]))
        if len(data) % 4:
            raise UsageError(f"--uniform {text}: {len(data)} bytes are no whole number of 32-bit words")
        yield from struct.unpack(f"<{len(data) // 4}I", data)
    else:
        yield _uniform(text)


def _uniform(text: str) -> UniformValue:
    if text == "qpu":
        return QpuNumber()
    number = _integer(text)
    if number is not None:
        if not -(1 << 31) <= number < 1 << 32:
            raise UsageError(f"--uniform {text}: the number does not fit 32 bits")
        return number
    address = _ADDRESS.fullmatch(text)
    if address is not None:
        offset, stride = _integer(address[2][1:] or "0"), _integer(address[3][1:].removesuffix("*qpu") or "0")
        if offset is not None and stride is not None:
            return BufferAddress(address[1], offset, stride)
    try:
        return int(struct.unpack("<I", struct.pack("<f", float(text)))[0])
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"--uniform {text}: neither a number, a buffer's name (NAME, NAME+64, NAME+256*qpu), qpu, nor @FILE"
        ) from error


def _integer(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def output_files(options: Sequence[str]) -> dict[str, Path]:
    """Files to write by buffer; raises UsageError."""
    return {name: Path(value) for name, value in (_pair("--out", text, "FILE") for text in options)}


def write_outputs(done: ProgramRun, outputs: Mapping[str, Path]) -> None:
    """Writes buffers after a run; raises UsageError for one that is not there, OutputError for a failing disk."""
    for name, path in outputs.items():
        if name not in done.buffers:
            raise UsageError(
                f"--out {name}={path}: no such buffer; there are: {', '.join(done.buffers) or 'none'}"
            )
        try:
            path.write_bytes(done.buffers[name].tobytes())
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written: {error.strerror}; name another with --out"
            ) from error


def _input(text: str) -> tuple[str, NDArray[np.uint8]]:
    name, value = _pair("--in", text, "FILE")
    return name, np.frombuffer(_read(Path(value)), np.uint8)


def _buffer(text: str) -> tuple[str, NDArray[np.uint8]]:
    name, value = _pair("--buffer", text, "BYTES")
    size = _integer(value)
    if size is None or not 0 < size <= LARGEST_BUFFER_BYTES:
        raise UsageError(f"--buffer {text}: the size must be 1 to {LARGEST_BUFFER_BYTES} bytes")
    return name, np.zeros(size, np.uint8)


def _pair(option: str, text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value or _NAME.fullmatch(name) is None or name == "qpu":
        raise UsageError(f"{option} {text}: write NAME={what}, the name of letters and digits and not `qpu`")
    return name, value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name a file that is there") from error
