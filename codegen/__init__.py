"""Floor 1: graph IR, ONNX import, schedules, algorithms, the QPU toolchain, C emission and bundles."""
