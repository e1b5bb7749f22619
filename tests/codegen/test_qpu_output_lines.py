"""Every QPU algorithm that writes pixel16 can write a part of a wider tensor, and touches nothing beside it."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.layout import LANES, block_lines
from codegen.engines.videocore4.link import GUARD_BYTES, LinkedLayer, link
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import ScheduleError
from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.placement import Placement
from codegen.program import Region
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.tensor import TensorType
from microbench.profile import load_profile
from microbench.virtual import VirtualV3D
from tests.codegen.algorithm_layers import LAYERS, MOST_ERROR, allowed_error
from tests.codegen.gpu_run import TARGET, random_tensors
from tests.codegen.layers import layer_spec, sum_of_two
from tests.codegen.plan_run import choice_of
from tests.codegen.test_qpu_kernels import candidates

BEFORE, AFTER = 5, 9  # channels of the whole on either side of the part
LINE_BYTES = 4 * LANES


def check_within(spec: LayerSpec, choice: Choice, most_error: float = MOST_ERROR) -> None:
    """Runs a candidate as a part in the middle of a whole whose other lines must stay as they were."""
    inputs, weights = random_tensors(spec, 3)
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    batch, channels, pixels = plane(spec.output)
    lines, blocks = block_lines(channels + BEFORE + AFTER), batch * -(-pixels // LANES)
    layer = algorithm.lower(spec, TARGET, choice, weights, output_lines=lines)
    layouts = [layout_named(name) for name in choice.input_layouts]
    names = [f"input{i}" for i in range(len(inputs))]
    sizes = [layout.size_bytes(t) for layout, t in zip(layouts, spec.inputs, strict=True)]
    apart = Placement.side_by_side(
        {**dict(zip(names, sizes, strict=True)), "whole": blocks * lines * LINE_BYTES}, GPU_MEMORY
    )
    whole = apart.regions["whole"]
    part = Region("part", whole.offset_bytes + BEFORE * LINE_BYTES, whole.size_bytes - BEFORE * LINE_BYTES)
    activations = Placement({**apart.regions, "part": part}, apart.size_bytes)
    linked = LinkedLayer("layer", layer, tuple(names), ("part",))
    phases = [part for parts in linked.phases(TARGET.qpus) for part in parts]
    program = link([phases], activations, names, ["whole"], TARGET.qpus)
    with VirtualV3D(load_profile("pi-zero")) as gpu:
        memory = gpu.alloc(program.size_bytes)
        words = memory.view.view(np.uint32)
        words[: len(program.words)] = program.words
        words[program.relocations] += np.uint32(memory.bus)
        for region, layout, value in zip(program.inputs, layouts, inputs, strict=True):
            start = region.offset_bytes
            memory.view[start : start + region.size_bytes] = layout.pack(value).view(np.uint8)
        run = gpu.execute(TARGET.qpus, memory.bus + program.launches[0].control_offset_bytes)
        start, size = program.outputs[0].offset_bytes, program.outputs[0].size_bytes
        image = memory.view[start : start + size].copy().view(np.uint32).reshape(blocks, lines, LANES)
        guards = (memory.view[start - GUARD_BYTES : start], memory.view[start + size :])
        assert all((guard == 0xFF).all() for guard in guards)
    assert run.stale_reads == 0
    mine = image[:, BEFORE : BEFORE + channels]
    assert (image[:, :BEFORE] == 0xFFFFFFFF).all() and (image[:, BEFORE + channels :] == 0xFFFFFFFF).all()
    planes = mine.view(np.float32).reshape(batch, -1, channels, LANES).swapaxes(1, 2)
    found = planes.reshape(batch, channels, -1)[:, :, :pixels]
    (expected,) = evaluate_layer(spec, inputs, weights)
    assert np.abs(found.reshape(expected.shape) - expected).max() <= most_error * np.abs(expected).max()


def few_of_each() -> list[tuple[str, Choice]]:
    """Every third candidate of the kernels' test that writes pixel16, of each algorithm and layer."""
    groups: dict[tuple[str, str], list[Choice]] = {}
    for name, choice in candidates():
        if choice.output_layouts == ("pixel16",):
            groups.setdefault((name, choice.algorithm), []).append(choice)
    return [(name, choice) for (name, _), choices in groups.items() for choice in choices[::3]]


@pytest.mark.parametrize(
    ("name", "choice"),
    [pytest.param(n, c, id=f"{n}-{c.algorithm}-{i}") for i, (n, c) in enumerate(few_of_each())],
)
def test_a_part_is_written_and_nothing_beside_it(name: str, choice: Choice) -> None:
    check_within(LAYERS[name], choice, allowed_error(choice.algorithm, name))


@pytest.mark.parametrize("channels", [1, 3, 20, 33])
def test_sums_of_few_channels_keep_to_their_lines(channels: int) -> None:
    tensor = TensorType((1, channels, 9, 9))
    spec = layer_spec(sum_of_two(RELU), (tensor, tensor), tensor)
    algorithm = algorithm_named("qpu_map")
    for point in algorithm.space(spec, TARGET).points():
        if point["groups"] in (1, 8):
            try:
                choice = algorithm.choice(spec, TARGET, point)
            except ScheduleError:
                continue
            check_within(spec, choice)


@pytest.mark.parametrize("name", ["fully connected", "global average"])
def test_flat_results_have_no_blocks(name: str) -> None:
    spec = LAYERS[name]
    choice = choice_of(spec, f"qpu_{name.replace(' ', '_')}")
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    with pytest.raises(ScheduleError, match="writes nchw, which has no blocks of 33 lines"):
        algorithm.lower(spec, TARGET, choice, random_tensors(spec, 0)[1], output_lines=33)
