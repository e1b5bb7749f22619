"""Elementwise expressions on the QPUs.

`lowering` turns an expression into steps, by the table in `primitives`; `emission` appends them to a kernel with the
registers that it has to spare, and `placement` finds the shortest way. What a primitive gives where ONNX has no
finite number stands in `primitives`.
"""
