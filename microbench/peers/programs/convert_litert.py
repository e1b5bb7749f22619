"""ONNX to LiteRT by onnx2tf, through TensorFlow: convert_litert.py MODEL.onnx OUT.tflite."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx2tf

IMAGES_NAME, IMAGES_SHAPE = "calibration_image_sample_data_20x128x128x3_float32.npy", (20, 128, 128, 3)


def main(model: str, out: str) -> None:
    """Float32; images become NHWC, the network's input too.

    onnx2tf tries layouts with sample images, which it downloads unless a file of that name is in the working
    directory: random ones do as well, as nothing is quantized.
    """
    source, target = Path(model).resolve(), Path(out).resolve()
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        np.save(IMAGES_NAME, np.random.default_rng(0).random(IMAGES_SHAPE, dtype=np.float32))
        onnx2tf.convert(input_onnx_file_path=str(source), output_folder_path=directory)
        (written,) = Path(directory).glob("*_float32.tflite")
        target.write_bytes(written.read_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
