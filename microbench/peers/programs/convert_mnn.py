"""ONNX to MNN: convert_mnn.py MODEL.onnx OUT.mnn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(model: str, out: str) -> None:
    """Float32 weights, which is the converter's default."""
    program = Path(sys.executable).with_name("mnnconvert")
    words = ("-f", "ONNX", "--modelFile", model, "--MNNModel", out, "--bizCode", "explore")
    done = subprocess.run((str(program), *words), capture_output=True, text=True, check=False)
    if not Path(out).exists():  # its exit code is 0 all the same
        raise RuntimeError((done.stderr or done.stdout).strip()[-400:] or "mnnconvert wrote nothing")


if __name__ == "__main__":
    main(*sys.argv[1:])
