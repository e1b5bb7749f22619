"""How much may be computed before a network runs: judged from shapes before anything is made, and by the clock."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from codegen.errors import FoldingError
from codegen.onnx_import.inference import inferred_types
from codegen.onnx_import.node import OnnxNode

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder

MOST_BYTES = 2**28
"""Of one folded result."""
MOST_PRODUCTS = 2**32
"""Multiply-adds of one folded node."""
MOST_SECONDS = 60.0
"""Of this process's CPU time, for all that is folded of a model."""
LARGEST_ELEMENT = 8


class _TooSlowError(BaseException):
    """Raised where the clock finds the computation: no handler of ordinary errors may take it for one of them."""


def _range_size(values: list[Any]) -> float:
    start, limit, step = (float(value.reshape(-1)[0]) for value in values)
    return max(0.0, math.ceil((limit - start) / step)) if step else math.inf


def _mel_size(values: list[Any]) -> float:
    bins, length = (float(value.reshape(-1)[0]) for value in values[:2])
    return bins * (length // 2 + 1)


_SIZES: Mapping[str, Callable[[list[Any]], float]] = {
    "BlackmanWindow": lambda values: float(values[0].reshape(-1)[0]),
    "ConstantOfShape": lambda values: math.prod(float(size) for size in values[0].reshape(-1)),
    "HammingWindow": lambda values: float(values[0].reshape(-1)[0]),
    "HannWindow": lambda values: float(values[0].reshape(-1)[0]),
    "MelWeightMatrix": _mel_size,
    "OneHot": lambda values: values[0].size * abs(float(values[1].reshape(-1)[0])),
    "Range": _range_size,
}
"""Elements of the results of operators whose size is a number that they read, in the order of their inputs."""


def check_size(node: OnnxNode, builder: GraphBuilder) -> None:
    """Raises FoldingError where the node's results, or the way to them, would exceed the limits."""
    if node.op_type in _SIZES:
        given = [builder.value(name) for name in node.inputs if name]
        try:
            elements = _SIZES[node.op_type](given)
        except (IndexError, TypeError, ValueError) as error:
            raise node.malformed(f"its inputs are no numbers ({error})") from error
        if not elements * LARGEST_ELEMENT <= MOST_BYTES:
            _refuse(node, f"its result has {elements:g} elements")
        return
    for name, type_ in inferred_types(node, builder).items():
        size = math.prod(type_.shape) * type_.element_type.size_bytes
        if size > MOST_BYTES:
            _refuse(node, f"{name!r} of shape {type_.shape} has {size} bytes")
        products = math.prod(type_.shape) * _depth(node, builder)
        if products > MOST_PRODUCTS:
            _refuse(node, f"it takes {products} multiply-adds")


def _depth(node: OnnxNode, builder: GraphBuilder) -> int:
    """Products that are summed for one element of the result, at most."""
    shapes = [builder.type_by_name(name).shape for name in node.inputs if name]
    if node.op_type in ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"):
        return max(shapes[0][-2:], default=1)
    if node.op_type.endswith(("Conv", "ConvInteger", "ConvTranspose")):
        return math.prod(shapes[1][1:])
    if node.op_type == "Einsum":
        return max(math.prod(shape) for shape in shapes)
    return 1


def _refuse(node: OnnxNode, reason: str) -> NoReturn:
    raise FoldingError(
        f"{node.where}: it is constant, but {reason}, more than may be computed before the network runs; "
        "make it smaller"
    )


@contextmanager
def within_time(node: OnnxNode, builder: GraphBuilder) -> Iterator[None]:
    """Raises FoldingError once all folding has taken `MOST_SECONDS`: in the main thread in the midst of a computation,
    in others behind it.
    """
    begin, left = time.process_time(), MOST_SECONDS - builder.folding_s
    try:
        if threading.current_thread() is threading.main_thread():
            with _alarm(left):
                yield
        else:
            yield
    except _TooSlowError:
        _slow(node)
    builder.folding_s += time.process_time() - begin
    if builder.folding_s > MOST_SECONDS:
        _slow(node)


def _slow(node: OnnxNode) -> NoReturn:
    raise FoldingError(
        f"{node.where}: computing what is constant in the model takes more than {MOST_SECONDS:g} seconds; export the "
        "model with its results"
    )


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """By the clock of CPU time, which nothing else uses and which stands while others compute."""

    def ring(number: int, frame: object) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
