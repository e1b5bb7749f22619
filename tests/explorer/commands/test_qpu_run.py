"""`explore qpu run` and `explore qpu sensitivity` on small programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.engines.videocore4.isa import Alu, Instruction
from explorer.qpu.run_options import uniform_values
from microbench.calibration.profile_file import write_profile
from microbench.virtual.program import BufferAddress, QpuNumber
from tests.explorer.command_line import explore, refused
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    ELEMENT,
    END,
    NOP,
    R0,
    R1,
    R4,
    UNIFORM,
    A,
    add,
    load,
    mul,
    semaphore,
    store_vectors,
)
from tests.microbench.test_sensitivity import certain_but
from tests.microbench.test_virtual_board import PROFILE, on_qpus, small_graph

# Doubles 16 floats. Uniforms: where they are, where the results go.
DOUBLE: list[Instruction] = [
    add("or", "r0", A, A, raddr_a=ELEMENT),
    load("r1", 4),
    mul("mul24", "r0", R0, R1),
    add("add", "tmu0_s", R0, A, raddr_a=UNIFORM),
    Alu(signal=10),
    add("fadd", "r1", R4, R4),
    *store_vectors([R1], ADDRESS_OF_DATA),
]


def program_file(directory: Path, code: Sequence[Instruction]) -> Path:
    path = directory / "program.bin"
    np.array([i.encode() for i in (*code, *END)], "<u8").tofile(path)
    return path


@pytest.fixture
def doubling(tmp_path: Path) -> list[str | Path]:
    """A command line up to its options."""
    np.arange(16, dtype=np.float32).tofile(tmp_path / "in.bin")
    program = program_file(tmp_path, DOUBLE)
    return [program, "--in", f"x={tmp_path / 'in.bin'}", "--buffer", "y=0x40", "-u", "x", "-u", "y"]


def test_a_program_reads_and_writes_buffers_in_files(doubling: list[str | Path], tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    result = explore("qpu", "run", *doubling, "--out", f"y={out}")
    assert result.exit_code == 0, result.output
    assert np.fromfile(out, np.float32).tolist() == [2.0 * i for i in range(16)]
    first = result.output.splitlines()[0]
    assert "cycles" in first and "simulated" in first and "launch call" in first
    assert "dma_store_bytes" in result.output


def test_a_listing_runs_as_the_binary_does(doubling: list[str | Path], tmp_path: Path) -> None:
    words = np.fromfile(tmp_path / "program.bin", "<u8")
    listing = tmp_path / "program.txt"
    listing.write_text(",\n".join(f"0x{int(word):016x}" for word in words))
    binary = explore("qpu", "run", *doubling)
    assert explore("qpu", "run", listing, *doubling[1:]).output == binary.output


def test_the_profile_shows_each_instruction_with_its_stalls(doubling: list[str | Path]) -> None:
    lines = explore("qpu", "run", *doubling, "--profile").output.splitlines()
    rows = [line for line in lines if "tmu 7" in line]
    assert len(rows) == 1 and "load_tmu0" in rows[0]
    assert sum("fadd r1, r4, r4" in line for line in lines) == 1


def test_the_trace_is_written(doubling: list[str | Path], tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    assert explore("qpu", "run", *doubling, "--trace", trace).exit_code == 0
    events = json.loads(trace.read_text())["traceEvents"]
    assert {"program", "wait: tmu", "busy"} <= {event["name"] for event in events}
    short = explore("qpu", "run", *doubling, "--trace", trace, "--trace-intervals", "1")
    assert "intervals did not fit into the trace" in short.output


def test_every_qpu_has_its_own_uniforms(tmp_path: Path) -> None:
    """Each of four QPUs doubles its own 64 bytes."""
    np.arange(64, dtype=np.float32).tofile(tmp_path / "in.bin")
    out = tmp_path / "out.bin"
    options = ["--qpus", "4", "--in", f"x={tmp_path / 'in.bin'}", "--buffer", "y=256", "-u", "x+64*qpu"]
    mutex = [Alu(raddr_a=51), *DOUBLE, load("mutex_release", 0)]
    result = explore(
        "qpu", "run", program_file(tmp_path, mutex), *options, "-u", "y+0+64*qpu", "--out", f"y={out}"
    )
    assert result.exit_code == 0, result.output
    assert np.fromfile(out, np.float32).tolist() == [2.0 * i for i in range(64)]


def test_uniforms_in_words(tmp_path: Path) -> None:
    np.array([1, 2**32 - 1], "<u4").tofile(tmp_path / "words")
    texts = ("5", "0x10", "-1", "1.5", "qpu", "a", "a+8", "a+8+0x40*qpu", f"@{tmp_path / 'words'}")
    assert [value for text in texts for value in uniform_values(text)] == [
        5, 16, 2**32 - 1, 0x3FC00000, QpuNumber(), BufferAddress("a"), BufferAddress("a", 8), BufferAddress("a", 8, 64),
        1, 2**32 - 1,
    ]  # fmt: skip


def test_a_stopped_program_is_shown(tmp_path: Path) -> None:
    wrong = program_file(tmp_path, [NOP, load(3, 1), add("or", "r0", A, A, raddr_a=3)])
    result = explore("qpu", "run", wrong)
    refused(result, "HazardError", "register file A3", "QPU 0, instruction 2", "mov r0, ra3")
    assert explore("qpu", "run", wrong, "--lax").exit_code == 0
    assert "tolerated_hazards" in explore("qpu", "run", wrong, "--lax").output
    refused(explore("qpu", "run", program_file(tmp_path, [semaphore(5, up=False)])), "deadlock", "acquire 5")


def test_what_silicon_lets_pass_is_told_with_its_first_instruction(tmp_path: Path) -> None:
    idle = Alu(waddr_add=32, cond_add=1)
    result = explore("qpu", "run", program_file(tmp_path, [NOP, idle, NOP, idle]), "--qpus", "2")
    assert result.exit_code == 0
    assert "warning QPU012, 4 times, first by QPU 0, instruction 1" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-u", "z"], ("UsageError", "no such buffer", "--buffer z=BYTES")),
        (["-u", "1z"], ("UsageError", "neither a number")),
        (["-u", "0x1ffffffff"], ("UsageError", "32 bits")),
        (["--in", "x"], ("UsageError", "NAME=FILE")),
        (["--in", "x=nowhere"], ("UsageError", "nowhere", "cannot be read")),
        (["--buffer", "x=many"], ("UsageError", "the size must be")),
        (["--buffer", "x=4", "--buffer", "x=4"], ("UsageError", "given twice")),
        (["--out", "x=y"], ("UsageError", "no such buffer")),
        (["--device", "pi-nine"], ("ProfileError", "pi-zero")),
        (["--device", "pi-3", "--gpu-memory", "cached"], ("ProfileError", "cannot be cached")),
        (["--gpu-memory", "warm"], ("UsageError", "cached or direct")),
        (["--qpus", "13"], ("CandidateError", "at most those there are")),
        (["--timeout", "1e-6", "--qpus", "12"], ("HazardError", "time limit")),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: list[str], words: tuple[str, ...]) -> None:
    refused(explore("qpu", "run", program_file(tmp_path, [NOP] * 200), *options), *words)


def test_an_empty_file_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    refused(explore("qpu", "run", tmp_path / "empty"), "ListingError")
    refused(explore("qpu", "run", tmp_path / "missing"), "ListingError", "missing")


def test_sensitivity_of_a_program(doubling: list[str | Path]) -> None:
    result = explore("qpu", "sensitivity", *doubling, "--device", "pi-3")
    assert result.exit_code == 0, result.output
    lines = {
        line.split()[0]: line for line in result.output.splitlines() if " ms (" in line or " us (" in line
    }
    assert {"memory_bytes_per_cycle", "tmu_cycles_per_request", "vdw_byte_cycles"} <= set(lines)
    assert "+" in lines["vdw_byte_cycles"] and "-" in lines["vdw_byte_cycles"]


def test_sensitivity_of_a_bundle(tmp_path: Path) -> None:
    graph = small_graph()
    compile_bundle(graph, on_qpus(graph), PROFILE.target(), tmp_path)
    board = tmp_path / "board.toml"
    write_profile(certain_but(PROFILE, "memory_bytes_per_cycle"), board)
    result = explore("qpu", "sensitivity", tmp_path, "--device", board)
    assert result.exit_code == 0, result.output
    assert "memory_bytes_per_cycle" in result.output and "(as in the profile)" in result.output
