"""ELF attributes: made files with known traits, damaged ones, and the runner built for every architecture."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.elf import ElfError, ElfTraits, ProcessorError, read_elf
from codegen.processors import (
    AARCH64,
    ARM_V6,
    ARM_V7,
    ARM_V8_32,
    X86_64,
    Processor,
    check_executable,
    processors_of,
)
from microbench.errors import BoardError
from microbench.profile import load_profile
from microbench.runner.build import build_runner
from microbench.runner.client import BoardBusyError, ExecutableAbsentError, RunnerClient
from microbench.runner.frames import Fault, FrameType, Reader, decode
from microbench.runner.messages import ExecutionRequest
from tests.microbench.local_runner import PipeTransport

V6, V7, V8 = 7, 10, 14  # Tag_CPU_arch of v6KZ, v7, v8


def made(cpu: int = V6, fp: int = 2, neon: int = 0, machine: int = 40, kind: int = 1) -> bytes:
    """A 32-bit ELF file of one segment (type `kind`) and one section, its attributes; a text tag is among them."""
    tags = b"\x05" + b"arm-made\0" + bytes([6, cpu, 10, fp, 12, neon, 28, 1]) + bytes([32, 1]) + b"gnu\0"
    file = b"\x01" + struct.pack("<I", 5 + len(tags)) + tags
    body = b"aeabi\0" + file
    other = struct.pack("<I", 4 + 4) + b"gnu\0"
    attributes = b"A" + other + struct.pack("<I", 4 + len(body)) + body
    header, segment = 52, 32
    section_at = header + segment
    attributes_at = section_at + 40
    return b"".join(
        [
            b"\x7fELF\x01\x01\x01" + bytes(9),
            struct.pack(
                "<HHIIIIIHHHHHH", 2, machine, 1, 0, header, section_at, 0, header, segment, 1, 40, 1, 0
            ),
            struct.pack("<8I", kind, 0, 0, 0, 0, 0, 0, 0),
            struct.pack("<10I", 0, 0x70000003, 0, 0, attributes_at, len(attributes), 0, 0, 1, 0),
            attributes,
        ]
    )


def test_attributes_are_read_as_they_were_made() -> None:
    assert read_elf(made()) == ElfTraits("arm", True, "v6KZ", "VFPv2", False, True)
    assert read_elf(made(V7, 5, 2, kind=3)) == ElfTraits("arm", False, "v7", "VFPv4", True, True)
    assert "later" in read_elf(made(cpu=99)).arm_cpu


@pytest.mark.parametrize(
    ("processor", "content", "complaint"),
    [
        (ARM_V6, made(V6, 2), None),
        (ARM_V6, made(V7, 2), "wants an ARMv7, the board is ARMv6"),
        (ARM_V6, made(V6, 5), "wants floating point VFPv4"),
        (ARM_V6, made(V6, 2, 1), "wants NEON"),
        (ARM_V7, made(V6, 2), None),
        (ARM_V7, made(V7, 5, 2), None),
        (ARM_V7, made(V8, 7, 3), "wants an ARMv8"),
        (ARM_V8_32, made(V8, 7, 3), None),
        (AARCH64, made(V8, 7, 3), "is for arm, the board is AArch64"),
        (X86_64, made(), "is for arm, the board is x86-64.*profile"),
    ],
)
def test_a_processor_takes_what_it_runs(processor: Processor, content: bytes, complaint: str | None) -> None:
    if complaint is None:
        check_executable(content, (processor,), static=True)
        return
    with pytest.raises(ProcessorError, match=complaint):
        check_executable(content, (processor,), static=True)


def test_a_board_without_the_c_library_wants_static_programs() -> None:
    check_executable(made(kind=3), (ARM_V6,), static=False)
    with pytest.raises(ProcessorError, match="-static"):
        check_executable(made(kind=3), (ARM_V6,), static=True)


def test_this_machines_own_executable_is_read() -> None:
    traits = read_elf(Path(sys.executable).resolve().read_bytes())
    assert None in [processor.lacks(traits) for processor in processors_of(traits.machine, "")]


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("armv6l", "CPU part : 0xb76", (ARM_V6,)),
        ("armv7l", "CPU part : 0xc07", (ARM_V7,)),
        ("armv7l", "CPU part : 0xd03", (ARM_V8_32,)),
        ("aarch64", "CPU part : 0xd08", (AARCH64, ARM_V8_32)),
        ("x86_64", "", (X86_64,)),
        ("riscv64", "", ()),
    ],
)
def test_processors_are_told_by_kernel_and_part(
    machine: str, cpuinfo: str, expected: tuple[Processor, ...]
) -> None:
    assert processors_of(machine, cpuinfo) == expected
    if not expected:
        with pytest.raises(ProcessorError, match="unknown"):
            check_executable(made(), expected, static=True)


@given(st.integers(0, len(made()) - 1), st.integers(0, 255), st.booleans())
def test_damaged_files_are_refused_or_read_but_never_crash(place: int, byte: int, cut: bool) -> None:
    content = bytearray(made())
    content[place] = byte
    damaged = bytes(content[:place]) if cut else bytes(content)
    try:
        assert read_elf(damaged).machine in ("arm", "aarch64", "x86_64", "x86")
    except ElfError as error:
        assert str(error)


@given(st.binary(max_size=100))
def test_what_is_no_elf_file_is_refused(content: bytes) -> None:
    with pytest.raises(ElfError):
        read_elf(content)
    with pytest.raises(ElfError):
        read_elf(b"\x7fELF" + content)


RUNNERS = {
    "pi-zero": (ARM_V6, "qemu-arm", ("-cpu", "arm1176")),
    "pi-2": (ARM_V7, "qemu-arm", ("-cpu", "cortex-a7")),
    "pi-3-64": (AARCH64, "qemu-aarch64", ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("device", RUNNERS)
def test_the_runner_of_every_architecture_has_its_attributes(device: str) -> None:
    processor = RUNNERS[device][0]
    program = build_runner("none", "nothing 1", load_profile(device).target())
    check_executable(program.read_bytes(), (processor,), static=True)


@pytest.mark.slow
@pytest.mark.needs("arm emulator")
@pytest.mark.parametrize("device", ["pi-zero", "pi-3-64"])
def test_the_protocol_holds_under_an_emulated_processor(device: str, tmp_path: Path) -> None:
    _, emulator, arguments = RUNNERS[device]
    program = build_runner("none", "nothing 1", load_profile(device).target())
    wrapper = tmp_path / "runner"
    words = " ".join((emulator, *arguments, str(program)))
    wrapper.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    wrapper.chmod(0o700)
    transport = PipeTransport(wrapper, tmp_path / "there")
    client = RunnerClient(transport, device, 60.0)
    info = client.hello()
    assert (info.backend, info.software) == ("none", "nothing 1")
    assert info.machine.startswith("aarch64" if device == "pi-3-64" else "arm")
    with pytest.raises(ExecutableAbsentError):
        client.execute(ExecutionRequest("0" * 64, (), {"in.bin": b"abc"}, (), 5.0))
    there = tmp_path / "there" / "bin" / ("0" * 64)
    there.write_bytes(b"")
    there.chmod(0o700)
    with pytest.raises(BoardError, match="plain"):
        client.execute(ExecutionRequest("0" * 64, (), {"../in": b"abc"}, (), 5.0))
    second = PipeTransport(wrapper, tmp_path / "there", holder="another")
    with pytest.raises(BoardBusyError, match=r"serves another host \(somebody\)"):
        RunnerClient(second, device, 60.0).hello()
    second.close()
    damaged = PipeTransport(wrapper, tmp_path / "elsewhere")
    damaged.send(b"GET / HTTP/1.0\r\n\r\n", 1.0)
    kind, payload = decode(lambda size: damaged.receive(size, 60.0))
    assert (kind, Reader(payload).u32()) == (FrameType.ERROR, Fault.PROTOCOL)
    damaged.close()
    client.close()
    assert transport.process.returncode in (
        0,
        70,
    )  # 70: the emulated one met the closed input before the QUIT
