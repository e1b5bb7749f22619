"""Recurrent layers: RNN, GRU and LSTM over a whole sequence, in one direction or both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ACTIVATIONS: Mapping[str, Callable[[Any, float, float], Any]] = {
    "Affine": lambda x, alpha, beta: alpha * x + beta,
    "Elu": lambda x, alpha, beta: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "HardSigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "LeakyRelu": lambda x, alpha, beta: np.where(x < 0, alpha * x, x),
    "Relu": lambda x, alpha, beta: np.maximum(x, 0),
    "ScaledTanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "Sigmoid": lambda x, alpha, beta: 1 / (1 + np.exp(-x)),
    "Softplus": lambda x, alpha, beta: np.logaddexp(x, 0),
    "Softsign": lambda x, alpha, beta: x / (1 + np.abs(x)),
    "Tanh": lambda x, alpha, beta: np.tanh(x),
    "ThresholdedRelu": lambda x, alpha, beta: np.where(x > alpha, x, 0),
}
DEFAULTS = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, 0.0),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, 0.0),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, 0.0),
}
Activation = tuple[str, float, float]


@dataclass(frozen=True)
class Recurrent(Operator):
    """Inputs: X (T, N, I), W (D, G H, I), R (D, G H, H), B (D, 2 G H), int32 lengths (N), H (D, N, H), and of an LSTM
    C (D, N, H) and peepholes (D, 3 H); gates in ONNX's order. Outputs: Y (T, D, N, H), the last H, of an LSTM the last
    C.

    `activations`: those of each direction, with their parameters; `clip` bounds what goes into them (0: nothing).

    Fields:
        kind: RNN, GRU or LSTM
        backward: for each direction whether it goes from the last step to the first
        activations: for each direction its functions, each a name and two parameters
        clip: bound of what goes into an activation; 0: none
        resets_behind: of a GRU: the reset gate is applied to the product, in place of the state
        couples: of an LSTM: the forget gate is what the input gate leaves of 1
    """

    kind: str
    backward: tuple[bool, ...]
    activations: tuple[tuple[tuple[str, float, float], ...], ...]
    clip: float = 0.0
    resets_behind: bool = False  # GRU: the reset gate is applied to the product
    couples: bool = False  # LSTM: the forget gate is what the input gate leaves

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        count = 8 if self.kind == "LSTM" else 6
        if self.kind not in GATES or len(inputs) != count or weights:
            raise GraphSpecError(f"Recurrent {self.kind!r} takes {count} inputs, not {len(inputs)}")
        steps, batch, size = inputs[0].shape
        directions, hidden = len(self.backward), inputs[2].shape[-1]
        rows = GATES[self.kind] * hidden
        state = (directions, batch, hidden)
        wanted: list[tuple[int, ...]] = [
            (directions, rows, size),
            (directions, rows, hidden),
            (directions, 2 * rows),
            (batch,),
            state,
        ]
        wanted += [state, (directions, 3 * hidden)] if self.kind == "LSTM" else []
        if [tensor.shape for tensor in inputs[1:]] != wanted:
            raise GraphSpecError(
                f"{self.kind} of {[t.shape for t in inputs]}, not {[inputs[0].shape, *wanted]}"
            )
        dtype = inputs[0].dtype
        last = TensorType(state, dtype)
        every = TensorType((steps, *state), dtype)
        return (every, last, last) if self.kind == "LSTM" else (every, last)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        x, lengths = inputs[0], inputs[4].astype(np.int64)
        every = np.zeros(outputs[0].shape)
        lasts = [np.array(inputs[5]), np.array(inputs[6]) if self.kind == "LSTM" else np.zeros(1)]
        for direction, backward in enumerate(self.backward):
            for sample, length in enumerate(lengths):
                state = [last[direction, sample] if last.ndim == 3 else last for last in lasts]
                for step in range(length)[:: -1 if backward else 1]:
                    state = self._step(direction, x[step, sample], state, inputs)
                    every[step, direction, sample] = state[0]
                for last, value in zip(lasts, state, strict=True):
                    if last.ndim == 3:
                        last[direction, sample] = value
        return (every, *lasts[: len(outputs) - 1])

    def _step(self, direction: int, x: Doubles, state: list[Doubles], inputs: Arrays) -> list[Doubles]:
        w, r, bias = inputs[1][direction], inputs[2][direction], inputs[3][direction]
        h, rows = state[0], len(w)
        into, back = w @ x + bias[:rows], r @ h + bias[rows:]
        own = self.activations[direction]

        def act(number: int, value: Doubles) -> Doubles:
            if self.clip:
                value = np.clip(value, -self.clip, self.clip)
            name, alpha, beta = own[number]
            return np.asarray(ACTIVATIONS[name](value, alpha, beta))

        if self.kind == "RNN":
            return [act(0, into + back), state[1]]
        parts, size = np.split(into, GATES[self.kind]), len(h)
        backs = np.split(back, GATES[self.kind])
        if self.kind == "GRU":
            z, reset = (act(0, parts[gate] + backs[gate]) for gate in (0, 1))
            before = r[2 * size :] @ (reset * h) + bias[rows + 2 * size :]
            inner = reset * backs[2] if self.resets_behind else before
            return [(1 - z) * act(1, parts[2] + inner) + z * h, state[1]]
        cell, peep = state[1], np.split(inputs[7][direction], 3)
        gate = act(0, parts[0] + backs[0] + peep[0] * cell)
        forget = 1 - gate if self.couples else act(0, parts[2] + backs[2] + peep[2] * cell)
        cell = forget * cell + gate * act(1, parts[3] + backs[3])
        out = act(0, parts[1] + backs[1] + peep[1] * cell)
        return [out * act(2, cell), cell]

    def describe(self) -> str:
        return f"{self.kind} in {len(self.backward)} directions"

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        steps, batch, _ = inputs[0].shape
        return steps * batch * (inputs[1].elements + inputs[2].elements)


def _emit(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    """The layer with all its inputs, zeros for those that are absent; its outputs in the layout that is asked for."""
    steps, swapped = Steps(node, builder), node.flag("layout")

    def turned(tensor: str) -> str:
        return steps("Transpose", tensor, perm=[1, 0, 2]) if swapped and tensor else tensor

    if any(len(steps.shape(node.input(index))) != 3 for index in range(3)):
        raise node.malformed("its input and weights have other than 3 dimensions")
    x = turned(node.input(0))
    length, batch, _ = steps.shape(x)
    directions, rows, _ = steps.shape(node.input(1))
    hidden, dtype = rows // GATES[kind], steps.type(x).dtype

    def given(index: int, shape: tuple[int, ...], value: int = 0, of: str = dtype, turn: bool = False) -> str:
        if node.has_input(index):
            return turned(node.inputs[index]) if turn else node.inputs[index]
        return steps.constant(np.full(shape, value), of)

    state = (directions, batch, hidden)
    names = [x, node.input(1), node.input(2), given(3, (directions, 2 * rows))]
    names += [given(4, (batch,), length, "int32"), given(5, state, turn=True)]
    if kind == "LSTM":
        names += [given(6, state, turn=True), given(7, (directions, 3 * hidden))]
    direction = node.text("direction", "forward")
    backward = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}.get(direction)
    if backward is None or len(backward) != directions:
        raise node.malformed(f"attribute direction is {direction!r}, of weights for {directions} directions")
    op = Recurrent(
        kind,
        backward,
        _activations(node, kind, directions),
        node.real("clip", 0.0),
        node.flag("linear_before_reset"),
        node.flag("input_forget"),
    )
    count = 3 if kind == "LSTM" else 2
    wanted = [name or f"{node.name}/unused_{i}" for i, name in enumerate((*node.outputs, "", "", "")[:count])]
    written = [f"{name}/rows" if swapped else name for name in wanted]
    tensors = [builder.tensor_of(node, name) for name in names]
    builder.emit(node, op, tensors, outputs=written)
    if swapped:
        for index, (name, source) in enumerate(zip(wanted, written, strict=True)):
            steps("Transpose", source, to=name, perm=[2, 0, 1, 3] if index == 0 else [1, 0, 2])


def _activations(node: OnnxNode, kind: str, directions: int) -> tuple[tuple[Activation, ...], ...]:
    usual = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}[kind]
    names = node.texts("activations") or usual * directions
    if directions == 1 and len(names) == 2 * len(
        usual
    ):  # ONNX's default of an RNN has those of two directions
        names = names[: len(usual)]
    known = {name.lower(): name for name in ACTIVATIONS}
    if len(names) != len(usual) * directions or any(name.lower() not in known for name in names):
        raise node.malformed(f"its activations are {list(names)}")
    alphas, betas = list(node.reals("activation_alpha")), list(node.reals("activation_beta"))
    found: list[Activation] = []
    for name in (known[name.lower()] for name in names):
        alpha, beta = DEFAULTS.get(name, (0.0, 0.0))
        takes = DEFAULTS.get(name)
        alpha = alphas.pop(0) if takes and alphas else alpha
        beta = betas.pop(0) if name in ("Affine", "HardSigmoid", "ScaledTanh") and betas else beta
        if not math.isfinite(alpha + beta):
            raise node.unsupported(
                f"activation {name} has the parameters {alpha} and {beta}",
                "export the model with finite ones",
            )
        found.append((name, alpha, beta))
    return tuple(tuple(found[i : i + len(usual)]) for i in range(0, len(found), len(usual)))


@handles("RNN", "all")
def rnn(node: OnnxNode, builder: GraphBuilder) -> None:
    """RNN over a whole sequence."""
    _emit(node, builder, "RNN")


@handles("GRU", "all")
def gru(node: OnnxNode, builder: GraphBuilder) -> None:
    """GRU over a whole sequence."""
    _emit(node, builder, "GRU")


@handles("LSTM", "all")
def lstm(node: OnnxNode, builder: GraphBuilder) -> None:
    """LSTM over a whole sequence."""
    _emit(node, builder, "LSTM")
