"""A plan within a cap on its activations, and what is said where none keeps it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def peak_bytes(directory: Path) -> int:
    found: int = json.loads((directory / "plan.json").read_text())["peak_activation_bytes"]
    return found


def test_a_plan_keeps_the_cap_or_the_least_memory_is_named(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=16, channels=16)
    few = ("run", "--device", "pi-zero", "--layer-budget", "1", "--rehearsals", "0")
    arguments = (*few, "--model", model, "--store", tmp_path / "samples.sqlite")
    free = explore(*arguments, "--out", tmp_path / "free")
    assert free.exit_code == 0, free.output
    cap = peak_bytes(tmp_path / "free") - 1
    capped = explore(*arguments, "--out", tmp_path / "capped", "--max-memory", str(cap))
    assert capped.exit_code == 0, capped.output
    assert peak_bytes(tmp_path / "capped") <= cap
    command = json.loads((tmp_path / "capped" / "run.json").read_text())["command"]
    assert command[command.index("--max-memory") + 1] == str(cap)
    refused(
        explore(*arguments, "--out", tmp_path / "none", "--max-memory", "1B"), "--max-memory", "the least"
    )
    refused(explore(*arguments, "--max-memory", "64XB"), "64XB", "64MiB")
