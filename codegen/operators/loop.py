"""Loop: its body once for each turn; where data decide when it ends, all turns that there may be, of which those count
that it would have made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.errors import NotConstantError
from codegen.lengths import Length
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operators.control_flow import MOST_TURNS, body_of, finish, insert, select

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@handles("Loop", "constant count; a condition that is computed ends it by a length", takes_sequences=True)
def loop(node: OnnxNode, builder: GraphBuilder) -> None:
    """The body once for each turn; scanned outputs are stacked, with a length where data decide how many there are."""
    _Turns(node, builder).run()


class _Turns:
    """States and scanned outputs turn by turn. `going` is the scalar that says whether the loop still runs, "" while
    that is certain; `made` are the turns made before it was not, and the scalars of those behind.
    """

    def __init__(self, node: OnnxNode, builder: GraphBuilder) -> None:
        self._node, self._builder, self._steps = node, builder, Steps(node, builder)
        self._body = body_of(node, "body")
        self._states = list(node.inputs[2:])
        self._stacks: list[list[str]] = [[] for _ in range(len(self._body.output) - 1 - len(self._states))]
        self._going, self._certain, self._doubtful = "", 0, list[str]()

    def run(self) -> None:
        """All turns, then what the loop gives."""
        node, builder = self._node, self._builder
        count = builder.whole(node, 0, MOST_TURNS + 1)
        turn, goes_on = 0, not node.has_input(1) or self._goes_on(node.input(1), count)
        while turn < count and goes_on:
            if turn >= MOST_TURNS:
                raise node.unsupported(f"it may run more than {MOST_TURNS} times", "give it a smaller count")
            goes_on = self._goes_on(self._turn(turn), count)
            turn += 1
        finish(
            node,
            self._steps,
            self._states,
            self._stacks,
            [0] * len(self._stacks),
            [False] * len(self._stacks),
        )
        if self._doubtful:
            self._declare_lengths()

    def _turn(self, turn: int) -> str:
        """One turn; gives the name of its condition."""
        steps, prefix = self._steps, f"{self._node.name}/{turn}"
        inputs = [steps.constant(turn, "int64"), steps.constant(True, "bool"), *self._states]
        outputs = [f"{prefix}//{index}" for index in range(len(self._body.output))]
        insert(self._node, self._builder, self._body, prefix, inputs, outputs)
        states, scanned = outputs[1 : 1 + len(self._states)], outputs[1 + len(self._states) :]
        if self._going:
            self._doubtful.append(self._going)
            states = [
                select(self._node, self._builder, steps, self._going, new, old)
                for new, old in zip(states, self._states, strict=True)
            ]
        else:
            self._certain += 1
        self._states = states
        for stack, output in zip(self._stacks, scanned, strict=True):
            stack.append(output)
        return outputs[0]

    def _goes_on(self, condition: str, count: int) -> bool:
        """Whether there may be another turn, by a condition that is known or computed."""
        if self._builder.is_constant(condition):
            value = self._builder.value(condition)
            if value.size != 1:
                raise self._node.malformed(f"its condition has shape {value.shape}")
            return bool(value.item())
        if count > MOST_TURNS:
            raise NotConstantError(
                f"{self._node.where}: whether it goes on is computed from the model's inputs, and its count is not "
                f"{MOST_TURNS} or less; export the model with a loop of a known or smaller count",
                self._builder.sources(condition),
            )
        own = self._steps("Reshape", condition, self._steps.integers())
        self._going = self._steps("And", self._going, own) if self._going else own
        return True

    def _declare_lengths(self) -> None:
        steps, scanned = self._steps, self._node.outputs[len(self._states) :]
        made = [steps.cast(going, "int64") for going in self._doubtful]
        total = steps.constant(self._certain, "int64")
        for one in made:
            total = steps("Add", total, one)
        for name in scanned:
            if name:
                length = steps("Identity", total, to=self._builder.length_name(name))
                self._builder.set_length(name, Length(0, length))
