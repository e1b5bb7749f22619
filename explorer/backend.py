"""This compiler as a backend of ONNX: `prepare`, `run_model`, `run_node`, `supports_device` (`onnx.backend.base`).

A network is imported, planned without search by modelled times, compiled for this machine's CPU, and runs in this
process; on the device VIDEOCORE4 it is compiled for a Pi Zero's QPUs, and runs on the virtual board. What an operator
must know before the network runs (a shape, the number of a TopK) and the model takes as an input, is taken from the
first inputs that it is given: the compiled network holds for these values and shapes, and for others it is compiled
anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from codegen.bundle.compiler import compile_bundle
from codegen.engine_registry import host_engines
from codegen.errors import ModelError, NotConstantError, ObstaclesError, TensorError
from codegen.graph import Graph
from codegen.lengths import cut_to_lengths
from codegen.loaded import LoadedBundle, load_bundle
from codegen.onnx_import.content import model_sha256
from codegen.onnx_import.reader import import_model
from codegen.onnx_import.texts import texts_as_places
from codegen.operators.literal import Literal
from codegen.operators.zip_map import mapped_outputs
from codegen.passes.pipeline import optimize
from codegen.target import Target
from explorer.errors import SearchError, UsageError
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network
from microbench.boards.virtual import VirtualBoard
from microbench.profile import load_profile

CPU, QPUS = DEVICES = ("CPU", "VIDEOCORE4")
QPU_PROFILE, QPU_ENGINE = "pi-zero", "videocore4"
MOST_BOUND = 4096
"""Elements of an input that may become a constant: shapes and counts are small, images and features are not."""

AnyArray = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SimulatedBundle:
    """A bundle for the QPUs, which the virtual board runs."""

    place: Path
    board: VirtualBoard
    graph: Graph

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """The outputs by name; raises BoardError and HazardError where the board does."""
        values = tuple(np.ascontiguousarray(inputs[name]) for name in self.graph.inputs)
        outputs = self.board.run_bundle(self.place, values).outputs
        return {
            name: value.reshape(self.graph.types[name].shape)
            for name, value in zip(self.graph.outputs, outputs, strict=True)
        }


@dataclass(frozen=True, eq=False)
class Compiled:
    """A loaded network with the inputs that it took as constants."""

    bundle: LoadedBundle | SimulatedBundle
    directory: TemporaryDirectory[str]
    bound: Mapping[str, AnyArray]
    graph: Graph

    def fits(self, inputs: Mapping[str, AnyArray]) -> bool:
        """Whether it computes the model on inputs of these shapes, and values where they were taken as constants."""
        types = self.graph.types
        return all(
            np.array_equal(self.bound[name], value)
            if name in self.bound
            else types[name].shape == value.shape
            for name, value in inputs.items()
        )

    @property
    def computes(self) -> bool:
        """Whether anything is left to compute at run time."""
        return any(not isinstance(node.op, Literal) for node in self.graph.nodes)


class PreparedModel(BackendRep):
    """A model that is compiled when its first inputs come, and again for inputs of other shapes."""

    def __init__(self, model: ModelProto, device: str, flags: Sequence[str]) -> None:
        self._model, self._device, self._flags = model, device, tuple(flags)
        initializers = {tensor.name for tensor in model.graph.initializer}
        self.inputs = [info.name for info in model.graph.input if info.name not in initializers]
        self.outputs = [info.name for info in model.graph.output]
        self._maps, (_, self._texts) = mapped_outputs(model), texts_as_places(model)
        self.compiled: Compiled | None = None

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, in the model's order and also by name, for inputs in the model's order, or by name: arrays, of
        texts too where these name classes, and lists of dictionaries where the model gives maps.

        Raises ModelError and its kin where the model cannot be imported, SearchError where a layer has no algorithm,
        TensorError for other inputs than the model's.
        """
        given = self._named(inputs)
        if self.compiled is None or not self.compiled.fits(given):
            self.compiled = self._compile(given)
        free = {name: value for name, value in given.items() if name not in self.compiled.bound}
        results = cut_to_lengths(self.compiled.bundle.run(free), self.compiled.graph.lengths)
        named = namedtupledict("Outputs", self.outputs)
        outputs: tuple[Any, ...] = named(*(self._mapped(name, results[name]) for name in self.outputs))
        return outputs

    def _mapped(self, name: str, result: AnyArray) -> AnyArray | list[dict[int | str, float]]:
        if name in self._texts:
            return np.array(self._texts[name], dtype=object)[result]
        keys = self._maps.get(name)
        if keys is None:
            return result
        rows = result.reshape(-1, len(keys)).tolist()
        return [dict(zip(keys, row, strict=True)) for row in rows]

    def _named(self, inputs: Any) -> dict[str, AnyArray]:
        if isinstance(inputs, Mapping):
            named = dict(inputs)
        elif isinstance(inputs, np.ndarray):
            named = {self.inputs[0]: inputs} if len(self.inputs) == 1 else {}
        else:
            named = dict(zip(self.inputs, inputs, strict=False))
        if set(named) != set(self.inputs):
            raise TensorError(f"the model has the inputs {', '.join(self.inputs)}, given {', '.join(named)}")
        for name, value in named.items():
            if not isinstance(value, np.ndarray | np.generic):
                raise TensorError(f"input {name!r} is no numpy array but {type(value).__name__}")
        return {name: np.asarray(value, order="C") for name, value in named.items()}

    def _compile(self, inputs: Mapping[str, AnyArray]) -> Compiled:
        graph, bound = _imported(self._model, inputs)
        given = {name: value.shape for name, value in inputs.items()}
        content = model_sha256(self._model, Path(), given)
        network = Network(self._model.graph.name or "model", Path(), optimize(graph), content)
        directory = TemporaryDirectory(prefix="explore-backend-")
        compiled = self._for_cpu if self._device == CPU else _for_qpus
        return Compiled(compiled(network, Path(directory.name)), directory, bound, network.graph)

    def _for_cpu(self, network: Network, place: Path) -> LoadedBundle:
        profile = load_profile("host")
        target = _target(profile.target(), self._flags)
        compile_bundle(network.graph, modelled_plan(network, profile), target, place)
        return load_bundle(place, target)


def _for_qpus(network: Network, place: Path) -> SimulatedBundle:
    """Raises SearchError where a layer would not run on the QPUs: nothing is computed elsewhere in their stead."""
    profile = load_profile(QPU_PROFILE)
    plan = modelled_plan(network, profile, engines=(*host_engines(), QPU_ENGINE), preferred=QPU_ENGINE)
    computing = [step for step in plan.steps if not step.is_view]
    others = sorted({step.spec.describe() for step in computing if step.choice.engine != QPU_ENGINE})
    if others:
        raise SearchError(f"no algorithm of {QPU_ENGINE} computes {'; '.join(others)}; take the device {CPU}")
    compile_bundle(network.graph, plan, profile.target(), place)
    return SimulatedBundle(place, VirtualBoard(profile), network.graph)


class CompilerBackend(Backend):
    """Networks compiled for the CPU of this machine, or for QPUs that are simulated."""

    @classmethod
    def prepare(
        cls, model: ModelProto, device: str = "CPU", flags: Sequence[str] = (), **kwargs: Any
    ) -> PreparedModel:
        """The model, to be compiled on the CPU with the C compiler's `flags` in the place of the profile's.

        Raises UsageError for a device that there is not.
        """
        if not cls.supports_device(device):
            raise UsageError(f"no device {device!r}; there are {', '.join(DEVICES)}")
        return PreparedModel(model, device, flags)

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """One node of the default operator set on arrays in its inputs' order; `opset_version` by keyword."""
        names = [name for name in node.input if name]
        arrays = [np.asarray(value) for value in inputs]
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in zip(names, arrays, strict=True)
        ]
        results = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output if name
        ]
        graph = helper.make_graph([node], "node", infos, results)
        versions = (
            {"opset_imports": [helper.make_opsetid("", kwargs.pop("opset_version"))]}
            if ("opset_version" in kwargs)
            else {}
        )
        return cls.run_model(helper.make_model(graph, **versions), arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device in DEVICES


def _target(target: Target, flags: Sequence[str]) -> Target:
    return replace(target, compiler=(target.compiler[0], *flags)) if flags else target


def _imported(model: ModelProto, inputs: Mapping[str, AnyArray]) -> tuple[Graph, Mapping[str, AnyArray]]:
    """The graph for inputs of these shapes, and the inputs that are constants in it, for it must know them."""
    bound = {name: value for name, value in inputs.items() if value.size == 0}  # nothing is left to give
    while True:
        shapes = {name: value.shape for name, value in inputs.items() if name not in bound}
        try:
            return import_model(_with_constants(model, bound), shapes=shapes), bound
        except (NotConstantError, ObstaclesError) as error:
            new = {name: inputs[name] for name in _sources(error) if name not in bound}
            if not new or any(value.ndim > 1 or value.size > MOST_BOUND for value in new.values()):
                raise
            bound.update(new)


def _sources(error: ModelError) -> frozenset[str]:
    """The inputs that would have to be known."""
    several = error.errors if isinstance(error, ObstaclesError) else (error,)
    return frozenset().union(*(one.sources for one in several if isinstance(one, NotConstantError)))


def _with_constants(model: ModelProto, values: Mapping[str, AnyArray]) -> ModelProto:
    if not values:
        return model
    renewed = ModelProto()
    renewed.CopyFrom(model)
    renewed.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    return renewed


prepare = CompilerBackend.prepare
run_model = CompilerBackend.run_model
run_node = CompilerBackend.run_node
supports_device = CompilerBackend.supports_device
