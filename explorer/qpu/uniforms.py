"""What the words of a uniform stream may be written as, on the command line and in job files."""

from __future__ import annotations

import re
import struct

from microbench.virtual.program import (
    BufferAddress,
    QpuCount,
    QpuNumber,
    StreamAddress,
    UniformValue,
)

NAME = re.compile(r"[A-Za-z_]\w*")
RESERVED = ("qpu", "qpus", "uniforms")  # what the place of a buffer's name may say instead
_ADDRESS = re.compile(rf"({NAME.pattern})((?:\+\w+)?)((?:\+\w+\*qpu)?)")
_SPECIAL: dict[str, UniformValue] = {"qpu": QpuNumber(), "qpus": QpuCount()}
WORD_BYTES = 4


def number_word(text: str) -> int | None:
    """The word of an integer or a float32; None for other text. Raises ValueError where it does not fit 32 bits."""
    number = integer(text)
    if number is not None:
        return integer_word(number)
    try:
        return float_word(float(text)) if text.isascii() else None
    except OverflowError as error:
        raise ValueError("the number does not fit float32") from error
    except ValueError:
        return None


def integer_word(number: int) -> int:
    """Raises ValueError where a number does not fit 32 bits."""
    if not -(1 << 31) <= number < 1 << 32:
        raise ValueError("the number does not fit 32 bits")
    return number & 0xFFFFFFFF


def float_word(number: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", number))[0])


def named_value(text: str) -> UniformValue | None:
    """`qpu`, `qpus`, or an address: NAME, NAME+64, NAME+256*qpu, uniforms+4; None for other text."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    address = _ADDRESS.fullmatch(text)
    if address is None:
        return None
    offset, stride = integer(address[2][1:] or "0"), integer(address[3][1:].removesuffix("*qpu") or "0")
    if offset is None or stride is None or address[1] in _SPECIAL:
        return None
    if address[1] == "uniforms":
        return StreamAddress(offset) if not stride else None
    return BufferAddress(address[1], offset, stride)


def file_words(data: bytes) -> tuple[int, ...]:
    """The 32-bit words of a file; raises ValueError where it has no whole number of them."""
    if len(data) % WORD_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of 32-bit words")
    return struct.unpack(f"<{len(data) // WORD_BYTES}I", data)


def integer(text: str) -> int | None:
    """A decimal or 0x integer, None for other text: digits are those of ASCII."""
    try:
        return int(text, 0) if text.isascii() else None
    except ValueError:
        return None
