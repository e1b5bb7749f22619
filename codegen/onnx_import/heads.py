"""Rows of attention as several heads, and back, said by ONNX's operators."""

from __future__ import annotations

from codegen.onnx_import.steps import Steps


def into_heads(steps: Steps, rows: str, heads: int) -> str:
    """Rows (N, S, heads x D) as (N, heads, S, D)."""
    parted = steps("Reshape", rows, steps.integers(0, 0, heads, steps.shape(rows)[-1] // heads))
    return steps("Transpose", parted, perm=[0, 2, 1, 3])


def out_of_heads(steps: Steps, heads: str, to: str) -> None:
    """Rows (N, heads, S, D) as (N, S, heads x D), named `to`."""
    turned = steps("Transpose", heads, perm=[0, 2, 1, 3])
    batch, rows, count, width = steps.shape(turned)
    steps("Reshape", turned, steps.integers(batch, rows, count * width), to=to)
