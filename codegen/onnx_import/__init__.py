"""ONNX to Graph; the handlers stand with their operators, in `codegen.operators`."""
