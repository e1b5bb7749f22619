"""Reads what an ELF file says of the processor it was built for, without running it.

Sources: the System V ABI (headers, sections); "Addenda to, and Errata in, the ABI for the Arm Architecture" (build
attributes: `.ARM.attributes`, the tags and their values).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from codegen.errors import CodegenError

Machine = Literal["arm", "aarch64", "x86_64", "x86"]
MACHINES: Mapping[int, Machine] = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64"}

ARM_ATTRIBUTES = 0x70000003  # type of the section
INTERPRETER = 3  # type of the segment that only dynamically linked programs have
_TAG_FILE, _TAG_CPU_ARCH, _TAG_FP_ARCH, _TAG_ADVANCED_SIMD, _TAG_VFP_ARGS = 1, 6, 10, 12, 28
_TAG_COMPATIBILITY = 32
_TEXT_TAGS = (4, 5, 65, 67)  # names, which are text whatever their parity

CPU_ARCHITECTURES = (
    *("pre-v4", "v4", "v4T", "v5T", "v5TE", "v5TEJ", "v6", "v6KZ", "v6T2", "v6K"),
    *("v7", "v6-M", "v6S-M", "v7E-M", "v8"),
)
FP_ARCHITECTURES = ("none", "VFPv1", "VFPv2", "VFPv3", "VFPv3-D16", "VFPv4", "VFPv4-D16", "FPv8", "FPv8-D16")


class ElfError(CodegenError):
    """A file is no sound ELF file."""


class ProcessorError(ElfError):
    """An executable was built for another processor than the one that should run it."""


@dataclass(frozen=True)
class ElfTraits:
    """What an executable was built for. The 32-bit ARM fields are empty, false and 0 for other machines."""

    machine: Machine
    is_static: bool
    arm_cpu: str = ""
    arm_fp: str = ""
    has_neon: bool = False
    uses_vfp_arguments: bool = False


@dataclass(frozen=True)
class _Layout:
    """Where the fields of a class of ELF files are: (offset in the header, format) and formats of the tables."""

    header: struct.Struct
    section: struct.Struct
    segment: struct.Struct


_LAYOUTS = {
    1: _Layout(struct.Struct("<HHIIIIIHHHHHH"), struct.Struct("<10I"), struct.Struct("<8I")),
    2: _Layout(struct.Struct("<HHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IIQQQQQQ")),
}


def read_elf(content: bytes) -> ElfTraits:
    """Traits of a little-endian executable; raises ElfError saying what is wrong with the file."""
    layout = _LAYOUTS.get(content[4]) if len(content) > 6 and content[:4] == b"\x7fELF" else None
    if layout is None or content[5] != 1:
        raise ElfError("no little-endian ELF file; build the program for Linux")
    fields = _unpacked(layout.header, content, 16)
    number, segments_at, sections_at, segments, sections = (
        fields[1],
        fields[4],
        fields[5],
        fields[9],
        fields[11],
    )
    if number not in MACHINES:
        raise ElfError(f"an ELF file for machine {number}, which is none of {', '.join(MACHINES.values())}")
    types = [
        _unpacked(layout.segment, content, segments_at + i * layout.segment.size)[0] for i in range(segments)
    ]
    machine = MACHINES[number]
    attributes: dict[int, int] = {}
    if machine == "arm":
        attributes = _attributes(layout, content, sections_at, sections)
    return _traits(machine, INTERPRETER not in types, attributes)


def _traits(machine: Machine, is_static: bool, attributes: Mapping[int, int]) -> ElfTraits:
    if machine != "arm":
        return ElfTraits(machine, is_static)
    return ElfTraits(
        machine,
        is_static,
        arm_cpu=_named(CPU_ARCHITECTURES, attributes.get(_TAG_CPU_ARCH, 0)),
        arm_fp=_named(FP_ARCHITECTURES, attributes.get(_TAG_FP_ARCH, 0)),
        has_neon=attributes.get(_TAG_ADVANCED_SIMD, 0) != 0,
        uses_vfp_arguments=attributes.get(_TAG_VFP_ARGS, 0) == 1,
    )


def _named(names: tuple[str, ...], value: int) -> str:
    return names[value] if value < len(names) else f"later than {names[-1]} ({value})"


def _attributes(layout: _Layout, content: bytes, at: int, count: int) -> dict[int, int]:
    for index in range(count):
        header = _unpacked(layout.section, content, at + index * layout.section.size)
        if header[1] == ARM_ATTRIBUTES:
            start, size = header[4], header[5]
            if start + size > len(content) or size == 0 or content[start : start + 1] != b"A":
                raise ElfError("its .ARM.attributes are cut off or of another format")
            return _aeabi(content[start + 1 : start + size])
    raise ElfError("it has no .ARM.attributes, so that nothing says which ARM it is for; do not strip them")


def _aeabi(data: bytes) -> dict[int, int]:
    """The file's attributes of vendor "aeabi"; numbers only, the first of each tag."""
    at = 0
    while at < len(data):
        (size,) = _unpacked(_WORD, data, at)
        vendor, body = _text(data, at + 4)
        if size < 4 or at + size > len(data):
            raise ElfError("its .ARM.attributes are damaged")
        if vendor == b"aeabi":
            return _file_attributes(data[body : at + size])
        at += size
    raise ElfError("its .ARM.attributes have no part of the ABI's own")


_WORD = struct.Struct("<I")


def _file_attributes(data: bytes) -> dict[int, int]:
    if not data or data[0] != _TAG_FILE:
        raise ElfError("its .ARM.attributes begin with something else than the file's")
    (size,) = _unpacked(_WORD, data, 1)
    found: dict[int, int] = {}
    at = 1 + _WORD.size
    while at < min(size, len(data)):
        tag, at = _uleb128(data, at)
        if tag == _TAG_COMPATIBILITY:
            _, at = _uleb128(data, at)
        if tag in _TEXT_TAGS or tag == _TAG_COMPATIBILITY or (tag > _TAG_COMPATIBILITY and tag % 2):
            _, at = _text(data, at)
            continue
        value, at = _uleb128(data, at)
        found.setdefault(tag, value)
    return found


def _uleb128(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ElfError("its .ARM.attributes end in the middle of a number")


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise ElfError("its .ARM.attributes end in the middle of a name")
    return data[at:end], end + 1


def _unpacked(form: struct.Struct, content: bytes, at: int) -> tuple[int, ...]:
    if at < 0 or at + form.size > len(content):
        raise ElfError("the ELF file is cut off")
    return form.unpack_from(content, at)
