"""ONNX to MNN: convert_mnn.py MODEL.onnx OUT.mnn."""

from __future__ import annotations

import sys
from pathlib import Path


def main(model: str, out: str) -> None:
    """Float32 weights, which is the converter's default.

    By the module behind the program mnnconvert, which itself would report each conversion to its makers and to that
    end install packages by the first `pip` of PATH, the caller's own environment as likely as this one.
    """
    import _tools

    _tools.mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", out, "--bizCode", "explore"]
    )
    if not Path(out).exists():  # it returns all the same
        raise RuntimeError("mnnconvert wrote nothing")


if __name__ == "__main__":
    main(*sys.argv[1:])
