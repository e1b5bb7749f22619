"""Einstein's sums in C: loops over the result, and within over what is summed."""

from __future__ import annotations

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel, nest, strides_of
from codegen.engines.cpu.general.reductions import accumulator, signed_accumulator
from codegen.graph import LayerSpec
from codegen.operators.contraction import Contraction, letter_sizes
from codegen.target import Target
from codegen.tensor import TensorType


class CpuContraction(GeneralKernel):
    """Floating sums are taken in double, those of integers wrap around."""

    name = "cpu_contraction"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Contraction)

    def steps(self, spec: LayerSpec) -> float:
        return float(spec.macs)

    def body(self, spec: LayerSpec) -> str:
        op, element = spec.op, spec.output.element_type
        assert isinstance(op, Contraction)
        sizes = letter_sizes(op, spec.inputs)
        summed = [letter for letter in sizes if letter not in op.result]
        names = {letter: f"i{n}" for n, letter in enumerate(op.result)}
        names |= {letter: f"j{n}" for n, letter in enumerate(summed)}
        sum_type, read = accumulator(element), signed_accumulator(element)
        factors = [
            f"({sum_type})({read})x{n}[{_place(term, tensor, names)}]"
            for n, (term, tensor) in enumerate(zip(op.terms, spec.inputs, strict=True))
        ]
        loop = nest([sizes[letter] for letter in summed], f"total += {' * '.join(factors)};", "j")
        place = " + ".join(f"i{n} * {step}L" for n, step in enumerate(strides_of(spec.output.shape)))
        stored = f"y0[{place or '0'}] = {converted(f'({read})total', read, element)};"
        return nest(spec.output.shape, f"{sum_type} total = 0;\n{loop}\n{stored}")


def _place(term: str, tensor: TensorType, names: dict[str, str]) -> str:
    terms = [
        f"{names[letter]} * {stride}L" for letter, stride in zip(term, strides_of(tensor.shape), strict=True)
    ]
    return " + ".join(terms) or "0"
