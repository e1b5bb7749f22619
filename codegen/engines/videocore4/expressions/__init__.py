"""Elementwise expressions on the QPUs.

`lowering` turns an expression into steps, by the table in `primitives`; `placement` gives them registers and appends
them to a kernel. What a primitive gives where ONNX has no finite number stands in `primitives`.
"""
