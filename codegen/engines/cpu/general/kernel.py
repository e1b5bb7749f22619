"""What the general kernels share: typed pointers, packed constants of any type, and a rough count of instructions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from textwrap import indent
from typing import ClassVar

import numpy as np

from codegen.element_type import ELEMENT_TYPES
from codegen.engines.cpu.general.expressions import HEADERS
from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import round_up
from codegen.graph import LayerSpec
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import Array, FloatArray

ALIGNMENT = 8  # of constants, bytes: the largest element
PLACE_BYTES = 8  # of an index in the workspace
PARAMETERS = (
    "const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part"
)


class GeneralKernel(CpuKernel):
    """Base of the kernels that compute right whatever the types and shapes, at no particular speed, in one thread.

    A subclass gives the body of a C function of pointers `x0`, `x1`, ... to the elements of the inputs, `w0`, ... of
    the constants and `y0`, ... of the outputs, and how often the innermost statement is executed.
    """

    element_types: ClassVar[frozenset[str]] = frozenset(element.name for element in ELEMENT_TYPES)

    @abstractmethod
    def body(self, spec: LayerSpec) -> str:
        """The statements of the function."""

    def prologue(self, spec: LayerSpec) -> str:
        """What stands before the function."""
        return ""

    def steps(self, spec: LayerSpec) -> float:
        """How often the innermost statement is executed."""
        return float(sum(tensor.elements for tensor in spec.outputs))

    def reads(self, spec: LayerSpec) -> int:
        """Elements that it reads: of every input and constant one."""
        return len(spec.inputs) + len(spec.weights)

    def workspace_bytes(self, spec: LayerSpec) -> int:
        """Bytes of `workspace` that it needs."""
        return 0

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return ()

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count, reads = Count(), self.reads(spec)
        alu = LOOP_INSTRUCTIONS + (reads + 1) * ADDRESS_INSTRUCTIONS
        count.add(self.steps(spec), alu=alu, loads=reads, stores=1)
        return count.work(spec, float(spec.macs), 0.0, 0.0, workspace_bytes=float(self.workspace_bytes(spec)))

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        packed, offsets = _packed(weights)
        pointers = [
            *(_pointer(f"x{i}", t.element_type.c_type, f"inputs[{i}]") for i, t in enumerate(spec.inputs)),
            *(
                _pointer(f"w{i}", tensor.element_type.c_type, f"((const unsigned char *)weights + {offset})")
                for i, (tensor, offset) in enumerate(zip(spec.weights, offsets, strict=True))
            ),
        ]
        pointers += [
            f"{tensor.element_type.c_type} *const y{i} = (void *)outputs[{i}];"
            for i, tensor in enumerate(spec.outputs)
        ]
        unused = "(void)inputs;\n(void)weights;\n(void)workspace;\n(void)part;"
        statements = "\n".join([*pointers, unused, self.body(spec).strip("\n")])
        source = f"{HEADERS}{self.prologue(spec)}void {entry}({PARAMETERS})\n{{\n{indent(statements, '    ')}\n}}\n"
        sizes = tuple(tensor.elements for tensor in spec.inputs)
        results = tuple(tensor.elements for tensor in spec.outputs)
        return CpuProgram(source, entry, packed, sizes, results, self.workspace_bytes(spec))


def _pointer(name: str, c_type: str, place: str) -> str:
    return f"const {c_type} *const {name} = (const void *){place};\n(void){name};"


def _packed(weights: Sequence[Array]) -> tuple[FloatArray, list[int]]:
    """The bytes of all constants, as float32 numbers for what they are not, and where each begins."""
    offsets, memory = [], bytearray()
    for value in weights:
        offsets.append(len(memory))
        data = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        memory += data.ljust(round_up(len(data), ALIGNMENT), b"\0")
    return np.frombuffer(bytes(memory), dtype=np.float32), offsets


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements by which an index of each axis moves on, row-major."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def broadcast_strides(shape: Sequence[int], result: Sequence[int]) -> tuple[int, ...]:
    """Strides of a tensor read as one of the result's shape."""
    own = [0 if size == 1 else step for size, step in zip(shape, strides_of(shape), strict=True)]
    return (0,) * (len(result) - len(shape)) + tuple(own)


def nest(sizes: Sequence[int], body: str, prefix: str = "i") -> str:
    """Loops over all indices `<prefix>0`, `<prefix>1`, ... around some statements."""
    text = body.strip("\n")
    for axis in reversed(range(len(sizes))):
        name = f"{prefix}{axis}"
        text = f"for (long {name} = 0; {name} < {sizes[axis]}; ++{name}) {{\n{indent(text, '    ')}\n}}"
    return text


def at(strides: Sequence[int], prefix: str = "i") -> str:
    """C text of the place of an element, by its indices."""
    terms = [f"{prefix}{axis} * {stride}L" for axis, stride in enumerate(strides) if stride]
    return " + ".join(terms) or "0"
