"""A plan within a cap on its memory, and what is said where none keeps it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from codegen.bundle import read_manifest
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def taken_bytes(directory: Path) -> int:
    """What the bundle of a run allocates: of the CPU's memory and of the GPU's, weights included."""
    manifest = read_manifest(directory / "bundle")
    weights = max((entry.offset_bytes + entry.size_bytes for entry in manifest.cpu_weights), default=0)
    return weights + manifest.arena_bytes + (manifest.gpu.size_bytes if manifest.gpu else 0)


def test_a_plan_keeps_the_cap_or_the_least_memory_is_named(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=16, channels=16)
    few = ("run", "--device", "pi-zero", "--layer-budget", "1", "--rehearsals", "0")
    arguments = (*few, "--model", model, "--store", tmp_path / "samples.sqlite")
    free = explore(*arguments, "--out", tmp_path / "free")
    assert free.exit_code == 0, free.output
    cap = taken_bytes(tmp_path / "free") - 1
    capped = explore(*arguments, "--out", tmp_path / "capped", "--max-memory", str(cap))
    assert capped.exit_code == 0, capped.output
    assert taken_bytes(tmp_path / "capped") <= cap
    command = json.loads((tmp_path / "capped" / "run.json").read_text())["command"]
    assert command[command.index("--max-memory") + 1] == str(cap)
    none = explore(*arguments, "--out", tmp_path / "none", "--max-memory", "1B")
    refused(none, "--max-memory", "the least")
    (least,) = re.findall(r"found for is ([\d,]+) bytes", " ".join(none.output.split()))
    at_least = explore(*arguments, "--out", tmp_path / "least", "--max-memory", least.replace(",", ""))
    assert at_least.exit_code == 0, at_least.output
    assert taken_bytes(tmp_path / "least") <= int(least.replace(",", ""))
    refused(explore(*arguments, "--max-memory", "64XB"), "64XB", "64MiB")
