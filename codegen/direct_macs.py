"""Multiply-accumulates of a layer by its definition: what every algorithm's speed is counted in."""

from __future__ import annotations

from functools import singledispatch

from codegen.graph import Chain, Conv2d, ConvTranspose2d, FullyConnected, LayerSpec, Operator


def direct_macs(spec: LayerSpec) -> int:
    """Multiply-accumulates of direct computation, padding counted; 0 for a layer that multiplies no weights.

    An algorithm that needs fewer (Winograd) or more (recomputed halos) is still counted by these.
    """
    return _macs(spec.op, spec)


@singledispatch
def _macs(op: Operator, spec: LayerSpec) -> int:
    return 0


@_macs.register(Conv2d)
@_macs.register(FullyConnected)
def _weighted(op: Conv2d | FullyConnected, spec: LayerSpec) -> int:
    weights = spec.weights[0]
    return spec.output.elements * (weights.elements // weights.shape[0])


@_macs.register
def _transposed(op: ConvTranspose2d, spec: LayerSpec) -> int:
    weights = spec.weights[0]
    pixels = spec.inputs[0].elements // spec.inputs[0].shape[1]
    return pixels * weights.elements


@_macs.register
def _chain(op: Chain, spec: LayerSpec) -> int:
    return sum(direct_macs(member) for member in op.members)
