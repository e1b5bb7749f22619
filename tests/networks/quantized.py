"""Networks quantised by onnxruntime's static quantiser: `python -m tests.networks.quantized FORMAT MODEL OUT`.

FORMAT is qdq or qoperator. Weights are int8 with a scale for each output channel, activations uint8 (or int8 with
`--signed`); their ranges are those of seeded normal inputs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

FORMATS = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}
IMAGES = 4


class SeededImages(CalibrationDataReader):
    """Normal inputs, as normalised images are."""

    def __init__(self, model: onnx.ModelProto, seed: int) -> None:
        random = np.random.default_rng(seed)
        known = {tensor.name for tensor in model.graph.initializer}
        shapes = {
            info.name: [dimension.dim_value for dimension in info.type.tensor_type.shape.dim]
            for info in model.graph.input
            if info.name not in known
        }
        self._feeds = iter(
            [
                {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
                for _ in range(IMAGES)
            ]
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def quantize(source: Path, target: Path, form: str, seed: int = 0, *, signed: bool = False) -> None:
    """Writes the quantised network of a float32 one."""
    with tempfile.TemporaryDirectory() as directory:
        prepared = Path(directory) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            SeededImages(onnx.load(prepared), seed),
            quant_format=FORMATS[form],
            per_channel=True,
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=sorted(FORMATS))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signed", action="store_true")
    given = parser.parse_args()
    quantize(given.source, given.target, given.form, given.seed, signed=given.signed)


if __name__ == "__main__":
    main()
