"""Convolutions and pools over any number of axes in C."""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel, nest, strides_of
from codegen.engines.cpu.general.reductions import accumulator, signed_accumulator
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.conv_nd import ConvNd
from codegen.operators.pool_nd import PoolNd
from codegen.target import Target


class CpuConvNd(GeneralKernel):
    """Loops over outputs, and within over channels and taps; floating sums are taken in double."""

    name = "cpu_conv_nd"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, ConvNd)

    def steps(self, spec: LayerSpec) -> float:
        return float(spec.macs)

    def body(self, spec: LayerSpec) -> str:
        op, element = spec.op, spec.output.element_type
        assert isinstance(op, ConvNd)
        shape, weights, rank = spec.inputs[0].shape, spec.inputs[1].shape, len(op.kernel)
        few, many = shape[1] // op.groups, spec.output.shape[1] // op.groups
        sum_type, read = accumulator(element), signed_accumulator(element)
        checks, places = [], []
        for axis in range(rank):
            at = f"i{axis + 2} * {op.strides[axis]} + j{axis + 1} * {op.dilations[axis]} - {op.begins[axis]}"
            if op.transposed:
                at = f"i{axis + 2} + {op.begins[axis]} - j{axis + 1} * {op.dilations[axis]}"
                checks.append(f"const long q{axis} = {at};")
                stride = op.strides[axis]
                checks.append(f"if (q{axis} < 0 || q{axis} % {stride} != 0)\n    continue;")
                checks.append(f"const long p{axis} = q{axis} / {stride};")
            else:
                checks.append(f"const long p{axis} = {at};")
            checks.append(f"if (p{axis} < 0 || p{axis} >= {shape[axis + 2]})\n    continue;")
            places.append(f"p{axis}")
        channel = f"(i1 / {many} * {few} + j0)"
        source = _place(strides_of(shape), ["i0", channel, *places])
        taps = [f"j{axis + 1}" for axis in range(rank)]
        first, second = (channel, f"i1 % {many}") if op.transposed else ("i1", "j0")
        kernel = _place(strides_of(weights), [first, second, *taps])
        product = f"total += ({sum_type})({read})x0[{source}] * ({sum_type})({read})x1[{kernel}];"
        inner = nest((few, *op.kernel), "\n".join([*checks, product]), "j")
        stored = converted(f"({read})total", read, element)
        indices = [f"i{axis}" for axis in range(rank + 2)]
        store = f"y0[{_place(strides_of(spec.output.shape), indices)}] = {stored};"
        return nest(spec.output.shape, f"{sum_type} total = 0;\n{inner}\n{store}")


class CpuPoolNd(GeneralKernel):
    """Loops over outputs, and within over taps."""

    name = "cpu_pool_nd"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        return isinstance(op, PoolNd) and (op.kind == "max" or spec.inputs[0].element_type.is_floating)

    def steps(self, spec: LayerSpec) -> float:
        assert isinstance(spec.op, PoolNd)
        return float(spec.outputs[0].elements * math.prod(spec.op.kernel))

    def body(self, spec: LayerSpec) -> str:
        op, element = spec.op, spec.outputs[0].element_type
        assert isinstance(op, PoolNd)
        shape, rank = spec.inputs[0].shape, len(op.kernel)
        inside, counted, heads = [], [], []
        for axis in range(rank):
            at = f"i{axis + 2} * {op.strides[axis]} + j{axis} * {op.dilations[axis]} - {op.begins[axis]}"
            heads.append(f"const long p{axis} = {at};")
            inside.append(f"p{axis} >= 0 && p{axis} < {shape[axis + 2]}")
            counted.append(f"p{axis} < {shape[axis + 2] + op.ends[axis]}")
        source = _place(strides_of(shape), ["i0", "i1", *(f"p{axis}" for axis in range(rank))])
        target = _place(strides_of(spec.outputs[0].shape), [f"i{axis}" for axis in range(rank + 2)])
        words: dict[str, int | str] = {
            "value": element.c_value if op.kind == "max" else "double",
            "inside": " && ".join(inside),
            "counted": " && ".join(counted) if op.counts_pads else " && ".join(inside),
            "source": source,
            "target": target,
            "order": op.order,
            "place": _swapped(shape, rank) if op.places == 2 else source,
            "store_place": f"y1[{target}] = place;" if op.places else "(void)place;",
        }
        words["store"] = converted("best" if op.kind == "max" else "r", str(words["value"]), element)
        start, step, end = _POOLS[op.kind]
        loop = nest(op.kernel, "\n".join([*heads, fill(step, **words)]), "j")
        return nest(spec.outputs[0].shape, f"{fill(start, **words)}{loop}\n{fill(end, **words)}")


def _place(strides: Sequence[int], indices: Sequence[str]) -> str:
    return " + ".join(f"{index} * {stride}L" for index, stride in zip(indices, strides, strict=True))


def _swapped(shape: Sequence[int], rank: int) -> str:
    """The place with the last two axes in column-major order."""
    strides = list(strides_of(shape))
    if rank >= 2:
        strides[-1], strides[-2] = shape[-2], 1
    return _place(strides, ["i0", "i1", *(f"p{axis}" for axis in range(rank))])


_POOLS = {
    "max": (
        "$value best = 0;\nlong place = -1;\n",
        """
        if ($inside) {
            const $value v = ($value)x0[$source];
            if (place < 0 || v > best) {
                best = v;
                place = $place;
            }
        }
        """,
        "y0[$target] = $store;\n$store_place\n",
    ),
    "average": (
        "double total = 0;\nlong count = 0;\n",
        """
        if ($counted)
            ++count;
        if ($inside)
            total += (double)x0[$source];
        """,
        "const double r = total / (double)count;\ny0[$target] = $store;\n",
    ),
    "lp": (
        "double total = 0;\n",
        """
        if ($inside)
            total += pow(fabs((double)x0[$source]), $order);
        """,
        "const double r = pow(total, 1.0 / $order);\ny0[$target] = $store;\n",
    ),
}
