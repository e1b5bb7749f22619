"""Each engine of a plan is asked for one section, with its own steps and what it shares with the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import Algorithm
from codegen.bundle import arrangement, compile_bundle, memory, model, tasks
from codegen.bundle.model import compose
from codegen.engine_registry import engine_named
from codegen.errors import PlanError
from codegen.graph import Graph
from codegen.operators.conv2d import Conv2d
from codegen.operators.reduction import AlongAxis
from codegen.plan import Plan
from codegen.program import CpuProgram, GpuProgram
from codegen.reference import evaluate
from codegen.section import Section, Share
from codegen.target import Target
from tests.codegen.plan_run import layered_plan, run_plan
from tests.codegen.planned import PI_ZERO, GraphBuilder, qpu_plan

Words = np.zeros(16, np.uint32)
IMAGE = GpuProgram(Words, 64, Words[:0], (), (), (), 64)


def interrupted() -> Graph:
    """Two layers of the QPUs, one of the CPU that reads the first's output too, and one more of the QPUs."""
    build = GraphBuilder("interrupted", (1, 8, 6, 6))
    first = build.add(Conv2d((1, 1)), "x", [(8, 8, 1, 1), (8,)], name="first")
    second = build.add(Conv2d((1, 1)), first, [(8, 8, 1, 1), (8,)], name="second")
    middle = build.add(AlongAxis("hardmax", 1), second, name="middle")
    return build.build(build.add(Conv2d((1, 1)), middle, [(8, 8, 1, 1), (8,)], name="last"), first)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Share]]:
    """The shares that engines were asked to make sections of, by engine."""
    shares: dict[str, list[Share]] = {"cpu": [], "videocore4": []}

    def noted(name: str, section: Callable[[Share, Target], Section]) -> Callable[[Share, Target], Section]:
        def noting(share: Share, target: Target) -> Section:
            shares[name].append(share)
            return section(share, target)

        return noting

    for name in shares:
        engine = engine_named(name)
        monkeypatch.setattr(engine, "section", noted(name, engine.section))
    return shares


def test_an_engine_is_asked_once_for_all_its_steps(asked: dict[str, list[Share]]) -> None:
    graph = interrupted()
    made = compose(graph, qpu_plan(graph), PI_ZERO)
    (called,), (launched,) = asked["cpu"], asked["videocore4"]
    assert [[step.name for step in run] for run in launched.runs] == [["first", "second"], ["last"]]
    assert [step.name for step in called.steps] == [
        step.name for step in made.plan.steps if step.choice.engine == "cpu"
    ]
    assert set(launched.inputs) == {"x@pixel16", "t2@pixel16"}
    assert set(launched.outputs) == {"t0@pixel16", "t1@pixel16", "t3@pixel16"}
    assert set(launched.placement.regions) == {*launched.inputs, *launched.outputs}
    assert made.image is not None and list(made.sections.programs) == [step.index for step in called.steps]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (arrangement, "runs_of"),
        (arrangement, "allocate"),
        (arrangement, "_lives"),
        (memory, "allocate"),
        (model, "arrange"),
        (model, "schedule_of"),
        (tasks, "parts_of"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.rpartition(".")[2],
)
def test_a_bundle_computes_runs_lives_and_places_once(
    module: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []
    function = getattr(module, name)

    def counting(*arguments: object) -> object:
        entered.append(name)
        return function(*arguments)

    monkeypatch.setattr(module, name, counting)
    graph = interrupted()
    compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path)
    assert entered == [name]


def test_a_bundle_has_the_image_of_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = interrupted()
    monkeypatch.setattr(engine_named("cpu"), "section", lambda share, target: IMAGE)
    with pytest.raises(PlanError, match="engines cpu and videocore4 both make an image"):
        compose(graph, qpu_plan(graph), PI_ZERO)


def test_a_step_of_an_algorithm_that_its_engine_does_not_own_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = interrupted()

    def owns(algorithm: Algorithm) -> bool:
        return algorithm.name != "cpu_along_axis"

    monkeypatch.setattr(engine_named("cpu"), "owns", owns)
    with pytest.raises(
        PlanError, match="step 'middle': algorithm 'cpu_along_axis' does not run on engine 'cpu'"
    ):
        compose(graph, qpu_plan(graph), PI_ZERO)


def thrice(*, equal: bool) -> Graph:
    """Three layers of the QPUs, and three of the CPU behind them, each three with equal weights or their own."""
    build = GraphBuilder("thrice", (1, 16, 6, 6))
    tensor = "x"
    for index in range(3):
        tensor = build.add(Conv2d((1, 1)), tensor, [(16, 16, 1, 1), (16,)], name=f"launched {index}")
    tensor = build.add(AlongAxis("hardmax", 1), tensor)
    for index in range(3):
        tensor = build.add(Conv2d((1, 1)), tensor, [(16, 16, 1, 1), (16,)], name=f"called {index}")
    graph = build.build(tensor)
    if not equal:
        return graph
    firsts = {f"w{start + i}_{j}": f"w{start}_{j}" for start in (0, 4) for i in range(3) for j in range(2)}
    constants = {name: graph.constants[firsts[name]].copy() for name in graph.constants}
    return replace(graph, constants=constants)


def thrice_planned(graph: Graph) -> Plan:
    return layered_plan(graph, {f"called {index}": "cpu_conv_direct" for index in range(3)})


def test_equal_weights_lie_once_in_a_bundle() -> None:
    taken = []
    for equal in (False, True):
        made = compose(graph := thrice(equal=equal), thrice_planned(graph), PI_ZERO)
        assert made.image is not None
        taken.append((made.image.words.nbytes, len(made.sections.packed_weights)))
    (image, packed), (least_image, least_packed) = taken
    assert packed == 3 * least_packed
    assert image - least_image >= 2 * 4 * (16 * 16 + 16)


def test_layers_of_equal_weights_compute_what_they_would_each() -> None:
    graph = thrice(equal=True)
    value = np.random.default_rng(0).standard_normal((1, 16, 6, 6), dtype=np.float32)
    (wanted,) = evaluate(graph, {"x": value}).values()
    (found,) = run_plan(graph, thrice_planned(graph), value).outputs.values()
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_equal_layers_share_a_function_unless_its_text_depends_on_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = GraphBuilder("twins", (1, 8, 6, 6))
    tensor = build.add(AlongAxis("hardmax", 1), build.add(AlongAxis("hardmax", 1), "x"))
    graph = build.build(build.add(AlongAxis("hardmax", 1), tensor))
    plan, engine = qpu_plan(graph), engine_named("cpu")
    assert len(compose(graph, plan, PI_ZERO).sections.sources) == 1
    written = iter(range(10))

    def program(*arguments: object) -> CpuProgram:
        entry = arguments[-1]
        assert isinstance(entry, str)
        return CpuProgram(f"/* {next(written)} */", entry, np.zeros(0, np.float32), (), (), 0)

    monkeypatch.setattr(engine, "program", program)
    first, *others = compose(graph, plan, PI_ZERO).sections.sources
    assert others == [f"{first}_1", f"{first}_2"]
