"""Programs in files: raw little-endian words, and the hexadecimal listings that are published for C arrays."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Literal

from codegen.engines.videocore4.isa import SIGNALS, Alu, decode
from codegen.errors import AssemblyError, ListingError

Form = Literal["auto", "raw", "words32", "words32-high-first", "words64"]
FORMS: tuple[Form, ...] = ("auto", "raw", "words32", "words32-high-first", "words64")

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|#[^\n]*", re.DOTALL)
_SEPARATORS = re.compile(r"[\s,]+")
_ITEM = re.compile(r"0[xX]([0-9a-fA-F]{1,16})(?:[uU]?[lL]{0,2}|[lL]{1,2}[uU])")
_HALF_DIGITS = 8
LARGEST_BYTES = 1 << 26


def read_program(data: bytes, form: Form = "auto") -> tuple[int, ...]:
    """The 64-bit words of a program file; raises ListingError naming what is wrong, and how to settle it.

    `auto` takes a file with a byte that no text has as `raw`. In a listing, items of up to 8 digits are halves of
    instructions, the low one first (`words32`), and longer ones are instructions (`words64`). A listing with both is
    ambiguous, and one whose halves make instructions only the other way round. Of C source, the items between braces
    count.
    """
    if not data:
        raise ListingError("the file is empty; a program has at least one instruction of 8 bytes")
    if len(data) > LARGEST_BYTES:
        raise ListingError(f"{len(data)} bytes: a program has at most {LARGEST_BYTES}")
    text = None if form == "raw" else _text(data)
    if text is None:
        if form not in ("auto", "raw"):
            raise ListingError(f"the file is no text, so no listing of {form}; read it as raw")
        return _raw(data)
    items = _items(text)
    return _words(items, form)


def write_raw(words: Sequence[int]) -> bytes:
    """Little-endian bytes, 8 a word."""
    return struct.pack(f"<{len(words)}Q", *words)


def write_listing(words: Sequence[int], form: Literal["words32", "words64"] = "words32") -> str:
    """Items with commas, one instruction a line."""
    if form == "words64":
        return "".join(f"{word:#018x},\n" for word in words)
    return "".join(f"{word & 0xFFFFFFFF:#010x}, {word >> 32:#010x},\n" for word in words)


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\t\r\n\f\v" for c in text) else None


def _raw(data: bytes) -> tuple[int, ...]:
    if len(data) % 8:
        raise ListingError(
            f"{len(data)} bytes are no whole number of 8-byte instructions; the file is cut or no program"
        )
    return struct.unpack(f"<{len(data) // 8}Q", data)


def _items(text: str) -> list[str]:
    bare = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    if "{" in bare:
        if bare.count("{") != 1 or bare.count("}") != 1 or bare.index("}") < bare.index("{"):
            raise ListingError(
                "more than one pair of braces: which array is the program? Cut the file to that one"
            )
        line = bare[: bare.index("{")].count("\n") + 1
        bare = bare[bare.index("{") + 1 : bare.index("}")]
    else:
        line = 1
    items = []
    for number, row in enumerate(bare.split("\n"), line):
        for item in filter(None, _SEPARATORS.split(row)):
            match = _ITEM.fullmatch(item)
            if match is None:
                raise ListingError(
                    f"line {number}: {item[:40]!r} is no item like 0x009e7000; a raw program of printable bytes "
                    "needs the form raw, a text program the command asm"
                )
            items.append(match[1])
    if not items:
        raise ListingError("the file has no items like 0x009e7000")
    return items


def _words(items: Sequence[str], form: Form) -> tuple[int, ...]:
    long = [item for item in items if len(item) > _HALF_DIGITS]
    if form == "auto":
        if long and len(long) < len(items):
            short = next(item for item in items if len(item) <= _HALF_DIGITS)
            raise ListingError(
                f"ambiguous: 0x{short} could be half an instruction, 0x{long[0]} is a whole one; name the form, "
                "words32 or words64"
            )
        form = "words64" if long else "auto"
    if form == "words64":
        return tuple(int(item, 16) for item in items)
    halves = [int(item, 16) for item in items]
    wide = next((item for item, half in zip(items, halves, strict=True) if half >> 32), None)
    if wide is not None:
        raise ListingError(f"0x{wide} does not fit 32 bits, so the listing is not of words32")
    if len(halves) % 2:
        raise ListingError(
            f"{len(halves)} items of 32 bits: instructions have two each, the low one first; one is missing, "
            "or the items are whole instructions: name the form words64"
        )
    low_first = tuple(low | high << 32 for low, high in zip(halves[::2], halves[1::2], strict=True))
    high_first = tuple(low | high << 32 for high, low in zip(halves[::2], halves[1::2], strict=True))
    if form == "auto" and _plausible(high_first) and not _plausible(low_first):
        raise ListingError(
            "ambiguous: read as is the custom, the low half first, these are no instructions, but they are with the "
            "high half first; name the form, words32 or words32-high-first"
        )
    return high_first if form == "words32-high-first" else low_first


def _plausible(words: Sequence[int]) -> bool:
    """Whether all are instructions, and none a breakpoint, which is what an upper half that is no such looks like."""
    try:
        found = [decode(word) for word in words]
    except AssemblyError:
        return False
    return not any(isinstance(i, Alu) and i.signal == SIGNALS["breakpoint"] for i in found)
