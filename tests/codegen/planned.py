"""Small graphs by hand, and plans for them that take one point of one algorithm for every layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from codegen.algorithm import algorithms
from codegen.engines.cpu.layout import CHANNEL_LAYOUTS
from codegen.errors import ScheduleError
from codegen.expression import RELU, RESULT, clamp
from codegen.graph import Graph, LayerSpec, Node
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.transpose import Transpose
from codegen.plan import Plan, PlanStep, PlanTensor, relayout_name
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import TensorType
from tests.codegen.layers import inferred_shape, layer_spec, sum_of_two

HOST = Target(name="host", qpus=0, cpu="native", compiler=("", "-O2", "-march=native"), cores=1)
MODEL_HASH = "ab" * 32
Pick = Callable[[LayerSpec], Choice]


class GraphBuilder:
    """Chains operators with seeded weights; `add` returns the name of the tensor it makes."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self._name = name
        self._nodes: list[Node] = []
        self._types = {"x": TensorType(shape)}
        self._constants: dict[str, np.ndarray] = {}
        self._generator = np.random.default_rng(7)

    def add(
        self,
        op: Operator,
        source: str | tuple[str, ...],
        weights: Sequence[tuple[int, ...]] = (),
        shape: tuple[int, ...] | None = None,
        name: str | None = None,
    ) -> str:
        index = len(self._nodes)
        sources = (source,) if isinstance(source, str) else source
        names = tuple(f"w{index}_{i}" for i in range(len(weights)))
        for key, size in zip(names, weights, strict=True):
            depth = np.prod(size[1:]) if len(size) > 1 else 4.0
            self._constants[key] = (self._generator.normal(size=size) / np.sqrt(depth)).astype(np.float32)
        inferred = inferred_shape(
            op, [self._types[name].shape for name in sources], list(weights), shape or ()
        )
        output = f"t{index}"
        self._types[output] = TensorType(tuple(inferred))
        self._nodes.append(Node(name or f"layer {index}", op, sources, (output,), names))
        return output

    def build(self, *outputs: str) -> Graph:
        return Graph(self._name, ("x",), outputs, tuple(self._nodes), self._types, self._constants)


def small_network(name: str = "small net") -> Graph:
    """A few layers of every kind that the fused stage has, with a branch and two outputs."""
    build = GraphBuilder(name, (1, 3, 17, 17))
    first = build.add(
        Conv2d((3, 3), (2, 2), (1, 1, 1, 1), epilogue=clamp(RESULT, 0.0, 6.0)), "x", [(8, 3, 3, 3), (8,)]
    )
    depthwise = build.add(
        Conv2d((3, 3), (1, 1), (1, 1, 1, 1), groups=8, epilogue=RELU), first, [(8, 1, 3, 3), (8,)]
    )
    pointwise = build.add(Conv2d((1, 1), epilogue=RELU), depthwise, [(12, 8, 1, 1), (12,)])
    again = build.add(Conv2d((1, 1), epilogue=RELU), pointwise, [(12, 12, 1, 1), (12,)])
    once_more = build.add(Conv2d((1, 1), epilogue=RELU), again, [(12, 12, 1, 1), (12,)])
    pooled = build.add(Pool2d("max", (2, 2), (2, 2)), once_more)
    clamped = build.add(Map(clamp(RESULT, 0.1, 0.9)), pooled)
    average = build.add(Pool2d("average", (4, 4)), clamped)
    flat = build.add(Reshape(), average, shape=(1, 12))
    logits = build.add(FullyConnected(), flat, [(10, 12), (10,)])
    return build.build(build.add(Softmax(1), logits), build.add(Reshape(), first, shape=(1, 8 * 81)))


def branched_network() -> Graph:
    """Channels last at both ends; a residual, branches side by side, and tensors that live long."""
    build = GraphBuilder("branches", (1, 9, 7, 3))
    planes = build.add(Transpose((0, 3, 1, 2)), "x")
    start = build.add(Conv2d((1, 1), epilogue=RELU), planes, [(6, 3, 1, 1), (6,)])
    inner = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1)), start, [(6, 6, 3, 3), (6,)])
    total = build.add(sum_of_two(clamp(RESULT, 0.0, 6.0)), (inner, start))
    left = build.add(Conv2d((1, 1), epilogue=RELU), total, [(4, 6, 1, 1), (4,)])
    right = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1)), total, [(5, 6, 3, 3), (5,)])
    joined = build.add(Concat(1), (left, start, right))
    doubled = build.add(sum_of_two(), (joined, joined))
    return build.build(build.add(Transpose((0, 2, 3, 1)), doubled), total)


def first_choice(spec: LayerSpec, target: Target = HOST) -> Choice:
    """The first point of the first C algorithm that applies and has a kernel there, on no blocks of channels."""
    for name, algorithm in sorted(algorithms().items()):
        if name.startswith("cpu_") and algorithm.applies(spec, target):
            for point in algorithm.space(spec, target).points():
                with suppress(ScheduleError):
                    choice = algorithm.choice(spec, target, point)
                    blocked = {*choice.input_layouts, choice.output_layout} & {*CHANNEL_LAYOUTS}
                    if isinstance(spec.op, Relayout) or not blocked:
                        return choice
    raise AssertionError(f"no C algorithm for {spec}")


PI_ZERO = Target("pi-zero", 12, "arm1176jzf-s", HOST.compiler, 1, 250e6, 1 << 27, l2_bytes=32768)


def qpu_choice(spec: LayerSpec) -> Choice | None:
    """The first point of the first QPU algorithm that applies and has a kernel there."""
    for name, algorithm in sorted(algorithms().items()):
        if name.startswith("qpu_") and algorithm.applies(spec, PI_ZERO):
            for point in algorithm.space(spec, PI_ZERO).points():
                try:
                    return algorithm.choice(spec, PI_ZERO, point)
                except ScheduleError:
                    continue
    return None


def qpu_plan(graph: Graph) -> Plan:
    """Every layer on the QPUs that can be, with the changes of layout between them."""
    steps: list[PlanStep] = []
    layouts = {name: ["nchw"] for name in graph.inputs}

    def bring(tensor: str, layout: str) -> None:
        if layout not in layouts[tensor]:
            steps.append(relayout_step(tensor, graph.types[tensor], layouts[tensor][0], layout))
            layouts[tensor].append(layout)

    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        choice = qpu_choice(spec) or first_choice(spec, PI_ZERO)
        for tensor, layout in zip(node.inputs, choice.input_layouts, strict=True):
            bring(tensor, layout)
        steps.append(step_of(node.name, spec, node.inputs, node.output, choice))
        layouts[node.output] = [choice.output_layout]
    for tensor in graph.outputs:
        bring(tensor, "nchw")
    return plan_of(graph, steps)


def step_of(name: str, spec: LayerSpec, inputs: tuple[str, ...], output: str, choice: Choice) -> PlanStep:
    """A step with one output."""
    return PlanStep.of(
        name,
        spec,
        inputs,
        (output,),
        choice,
        predicted_s=1e-3,
        low_s=0.5e-3,
        high_s=2e-3,
        kind="modelled",
        sample_ids=("1",),
    )


def relayout_step(tensor: str, type_: TensorType, source: str, target: str) -> PlanStep:
    spec = layer_spec(Relayout(source, target), (type_,), type_)
    return step_of(relayout_name(tensor, target), spec, (tensor,), tensor, first_choice(spec))


def plan_of(graph: Graph, steps: Sequence[PlanStep] | None = None, pick: Pick = first_choice) -> Plan:
    """A plan with the given steps, or with one step per node."""
    chosen = steps or [
        step_of(node.name, spec, node.inputs, node.output, pick(spec))
        for node, spec in ((node, LayerSpec.of(graph, node)) for node in graph.nodes)
    ]
    total = 1e-3 * len(chosen)
    return Plan(
        model_name=graph.name,
        model_sha256=MODEL_HASH,
        inputs=tuple(PlanTensor(name=name, shape=graph.types[name].shape) for name in graph.inputs),
        outputs=tuple(PlanTensor(name=name, shape=graph.types[name].shape) for name in graph.outputs),
        device="host",
        profile_hash="cd" * 32,
        board_fingerprint="ef" * 32,
        seed=0,
        versions={"explore-edge": "0.1.0"},
        steps=tuple(chosen),
        predicted_s=total,
        low_s=total / 2,
        high_s=total * 2,
        peak_activation_bytes=4096,
    )
