"""The constants of a plan's steps as a file of Safetensors: what a program reads beside the plan itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codegen.bundle.step_weights import weights_of_steps
from codegen.plan import read_plan
from codegen.tensor import Array
from explorer.plans.compilation import network_of

ALIGNED = 8  # bytes: data begins at a multiple of it
NAMES: Mapping[str, str] = {
    "bool": "BOOL",
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
}


def write_plan_weights(plan_path: Path, model_path: Path, out: Path) -> None:
    """Writes the constants of every step, row-major: number k of step NAME is the tensor `NAME/k`.

    Raises PlanError where the plan was made for another model.
    """
    plan = read_plan(plan_path)
    network = network_of(plan, plan_path, model_path)
    tensors = {
        f"{step.name}/{number}": value
        for step, weights in zip(plan.steps, weights_of_steps(network.graph, plan), strict=True)
        for number, value in enumerate(weights)
    }
    out.write_bytes(safetensors(tensors))


def safetensors(tensors: Mapping[str, Array]) -> bytes:
    """A file of Safetensors: the length of its head, the head as JSON, the tensors' little-endian elements."""
    head: dict[str, object] = {}
    parts: list[bytes] = []
    place = 0
    for name, value in tensors.items():
        part = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"), copy=False)).tobytes()
        offsets = [place, place + len(part)]
        head[name] = {"dtype": NAMES[value.dtype.name], "shape": list(value.shape), "data_offsets": offsets}
        parts.append(part)
        place += len(part)
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)
