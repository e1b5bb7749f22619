"""Frames and values as `protocol.h` describes them: the host's side of the wire."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from microbench.errors import BoardError

PROTOCOL_VERSION = 4
MAGIC = 0x4E525845
HEADER = struct.Struct("<4I")
PAYLOAD_LIMIT = 1 << 29
ANSWER_BIT = 0x80
NO_MARK = 0xFFFFFFFF


class FrameType(IntEnum):
    """Requests; an answer has the request's type with ANSWER_BIT."""

    HELLO = 1
    GPU_RUN = 2
    EXEC = 3
    QUIT = 4
    ERROR = 0xFF


class Fault(IntEnum):
    """Codes of an ERROR frame."""

    PROTOCOL = 1
    BOARD = 2
    CANDIDATE = 3
    ABSENT = 4
    BUSY = 5
    STOPPED = 6
    FULL = 7


class Ending(IntEnum):
    """How an EXEC ended."""

    EXIT = 0
    SIGNAL = 1
    LIMIT = 2


class FrameError(BoardError):
    """What arrived is not a frame, is damaged, or does not hold what its type promises."""


def encode(kind: int, payload: bytes) -> bytes:
    """A whole frame; raises FrameError for a payload above the limit."""
    if len(payload) > PAYLOAD_LIMIT:
        raise FrameError(f"a request of {len(payload)} bytes exceeds the protocol's {PAYLOAD_LIMIT}")
    return HEADER.pack(MAGIC, kind, len(payload), _crc(kind, payload)) + payload


def decode(receive: Callable[[int], bytes]) -> tuple[int, bytes]:
    """Type and payload of the next frame; `receive(n)` gives exactly n bytes. Raises FrameError."""
    magic, kind, size, crc = HEADER.unpack(receive(HEADER.size))
    if magic != MAGIC:
        raise FrameError("the answer is not a frame: something on the board prints into the connection")
    if size > PAYLOAD_LIMIT:
        raise FrameError(f"an answer of {size} bytes exceeds the protocol's {PAYLOAD_LIMIT}")
    payload = receive(size) if size else b""
    if crc != _crc(kind, payload):
        raise FrameError("the answer arrived damaged")
    return kind, payload


def _crc(kind: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(struct.pack("<2I", kind, len(payload))))


class Writer:
    """Builds a payload."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u32(self, value: int) -> None:
        self._parts.append(struct.pack("<I", value))

    def f64(self, value: float) -> None:
        self._parts.append(struct.pack("<d", value))

    def data(self, value: bytes) -> None:
        self.u32(len(value))
        self._parts.append(value)

    def string(self, value: str) -> None:
        self.data(value.encode())

    def words(self, values: NDArray[np.uint32]) -> None:
        self.u32(values.size)
        self._parts.append(np.ascontiguousarray(values, dtype="<u4").tobytes())

    def payload(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """Takes a payload apart; raises FrameError where it is shorter or longer than it should be."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def raw(self, size: int) -> bytes:
        if size > len(self._payload) - self._at:
            raise FrameError("the answer is shorter than its counts say")
        self._at += size
        return self._payload[self._at - size : self._at]

    def u32(self) -> int:
        return int(struct.unpack("<I", self.raw(4))[0])

    def count(self, item_bytes: int = 1, product: int = 1) -> int:
        """How many items, each of at least so many bytes, `product` of each; raises FrameError where they cannot be."""
        value = self.u32()
        if value * product * item_bytes > len(self._payload) - self._at:
            raise FrameError("the answer is shorter than its counts say")
        return value

    def f64(self) -> float:
        return float(struct.unpack("<d", self.raw(8))[0])

    def f64s(self, count: int) -> tuple[float, ...]:
        return struct.unpack(f"<{count}d", self.raw(8 * count))

    def data(self) -> bytes:
        return self.raw(self.u32())

    def floats(self) -> NDArray[np.float32]:
        content = self.data()
        if len(content) % 4:
            raise FrameError("the answer has a part of a number")
        return np.frombuffer(content, dtype="<f4").astype(np.float32)

    def string(self) -> str:
        return self.data().decode(errors="replace")

    def end(self) -> None:
        if self._at != len(self._payload):
            raise FrameError("the answer is longer than its counts say")
