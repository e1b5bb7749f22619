"""ONNX to ncnn by pnnx: convert_ncnn.py MODEL.onnx OUT_DIRECTORY."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def main(model: str, out: str) -> None:
    """Float32 weights (`fp16=0`), graph optimisation at its highest level."""
    package = importlib.util.find_spec("pnnx")
    if package is None or package.origin is None:
        raise FileNotFoundError("this environment has no package pnnx")
    program = Path(package.origin).with_name("pnnx")  # not through the package, which would import torch
    with tempfile.TemporaryDirectory() as directory:
        shutil.copyfile(model, Path(directory) / "model.onnx")
        subprocess.run([str(program), "model.onnx", "fp16=0", "optlevel=2"], cwd=directory, check=True)
        Path(out).mkdir(parents=True, exist_ok=True)
        for name in ("param", "bin"):
            shutil.copyfile(Path(directory) / f"model.ncnn.{name}", Path(out) / f"model.{name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
