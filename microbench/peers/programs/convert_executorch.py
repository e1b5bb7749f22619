"""ONNX to ExecuTorch by onnx2torch and torch.export: convert_executorch.py MODEL.onnx OUT.pte."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from onnx2torch import convert


def main(model: str, out: str) -> None:
    """Everything that XNNPACK can compute goes to it, in float32."""
    graph = onnx.load(model)
    shape = [dimension.dim_value for dimension in graph.graph.input[0].type.tensor_type.shape.dim]
    example = (torch.zeros(shape),)
    with torch.no_grad():
        exported = torch.export.export(convert(graph).eval(), example)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    Path(out).write_bytes(lowered.to_executorch().buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
