"""What every algorithm promises, whoever wrote it: a subclass gives a fixture of its name, and of layers for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from codegen.algorithm import Algorithm, algorithm_named, check_choice
from codegen.element_type import element_types
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.reference import evaluate_layer
from codegen.tensor import FloatArray, TensorType
from tests.codegen.algorithm_layers import allowed_error
from tests.codegen.built import Built, Case, built, bytes_of, cases, targets_of

POISONS = {"NaN": np.float32(np.nan), "inf": np.float32(np.inf), "-inf": np.float32(-np.inf)}
SPARSE = {
    "cpu_sparse_compiled_conv",
    "cpu_sparse_conv",
    "cpu_sparse_chain",
    "cpu_sparse_fully_connected",
}  # that read only weights which are not zero
OTHER_MACS = {
    "cpu_sparse_chain": "products of weights that are not zero",
    "cpu_sparse_fully_connected": "products of weights that are not zero",
    "cpu_sparse_compiled_conv": "products of weights that are not zero",
    "cpu_sparse_conv": "products of weights that are not zero",
    "cpu_int8_dot": "one for the four products that an instruction sums",
    "cpu_int8_winograd": "products of transformed tiles, which are fewer",
    "cpu_blocked_winograd": "products of transformed tiles, which are fewer",
    "cpu_blocked_strassen": "seven products of matrices in place of eight",
    "cpu_blocked_chain": "rows that two bands need may be computed twice",
    "qpu_winograd": "products of transformed tiles, which are fewer",
    "qpu_winograd_strided": "products of transformed tiles, which are fewer",
    "qpu_winograd_channels": "products of transformed tiles, which are fewer",
    "cpu_conv_transpose": "taps that meet an output alone",
    "cpu_blocked_conv_transpose": "taps that meet an output alone",
    "qpu_conv_transpose": "taps that meet an output alone, in whole blocks of pixels",
    "cpu_pool": "an operation for each tap",
    "cpu_blocked_pool": "an operation for each tap",
    "qpu_pool": "an operation for each tap",
    "qpu_pool_rows": "an operation for each tap",
    "qpu_global_average": "an operation for each pixel",
    "qpu_global_maximum": "an operation for each pixel",
    "qpu_map": "an operation for each operand",
    "qpu_side_by_side": "those of its layers' algorithms",
    "qpu_interpolation": "an operation for each neighbour",
    "cpu_interpolation": "an operation for each neighbour, of columns once for each row of the input",
    "cpu_blocked_interpolation": "an operation for each neighbour, of columns once for each row of the input",
}


class AlgorithmConformance:
    """Subclasses have fixtures `name`, of an algorithm, and `layers`, of which it takes at least one."""

    @pytest.fixture(scope="class")
    @classmethod
    def algorithm(cls, name: str) -> Algorithm:
        return algorithm_named(name)

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, algorithm: Algorithm, layers: dict[str, LayerSpec]) -> list[Case]:
        found = list(cases(algorithm, layers))
        assert found, f"{algorithm.name} takes none of the layers: add one that it computes"
        return found

    @pytest.fixture(scope="class")
    @classmethod
    def ready(
        cls, algorithm: Algorithm, found: list[Case], tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[list[Built]]:
        """Compiled outside the user's cache."""
        place = tmp_path_factory.mktemp("compiled")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("codegen.engines.cpu.toolchain.cache_directory", lambda: place)
            yield built(algorithm, found)

    def test_choices_are_points_of_the_space(self, algorithm: Algorithm, found: list[Case]) -> None:
        for case in found:
            check_choice(case.spec, case.target, case.choice)
            axes = {axis.name: axis for axis in algorithm.space(case.spec, case.target).axes}
            for role, values in (("split", case.choice.split), ("tile", case.choice.tile)):
                for of, value in values:
                    assert axes[of].role == role and value in axes[of].values, case
            for name, axis in axes.items():  # each in its place: features of models of costs are numbers
                assert list(axis.values) == [
                    value for value in algorithm.axis_names.get(name, axis.values) if value in axis.values
                ]
                assert (name in algorithm.axis_names) == any(isinstance(v, str) for v in axis.values), name
            assert len(case.choice.input_layouts) == len(case.spec.inputs), case
            assert len(case.choice.output_layouts) == len(case.spec.outputs), case
            assert case.choice.algorithm == algorithm.name

    def test_points_outside_the_space_are_refused(self, algorithm: Algorithm, found: list[Case]) -> None:
        for case in found:
            axes = algorithm.space(case.spec, case.target).axes
            inside = {axis.name: axis.values[0] for axis in axes}
            outside = [{**inside, axis.name: 12345} for axis in axes]
            outside += [{n: v for n, v in inside.items() if n != axis.name} for axis in axes]
            for point in (*outside, {**inside, "no such axis": 0}):
                with pytest.raises(ScheduleError, match=algorithm.name):
                    algorithm.choice(case.spec, case.target, point)

    def test_layers_of_others_are_refused(
        self, algorithm: Algorithm, layers: dict[str, LayerSpec], found: list[Case]
    ) -> None:
        (target, *_), point = targets_of(algorithm), dict(found[0].choice.split + found[0].choice.tile)
        others = [spec for spec in layers.values() if not algorithm.applies(spec, target)]
        assert others
        for spec in others:
            with pytest.raises(ScheduleError, match="does not compute"):
                algorithm.choice(spec, target, point)

    def test_other_element_types_are_refused(self, algorithm: Algorithm, found: list[Case]) -> None:
        refused = sorted(set(element_types()) - algorithm.element_types)
        for case in found:
            for dtype in refused:
                spec = retyped(case.spec, dtype)
                assert not algorithm.applies(spec, case.target), dtype
                with pytest.raises(ScheduleError, match="does not compute"):
                    algorithm.choice(spec, case.target, dict(case.choice.split + case.choice.tile))

    def test_work_counts_what_is_emitted(self, algorithm: Algorithm, ready: list[Built]) -> None:
        for one in ready:
            spec, work = one.case.spec, one.case.work
            assert algorithm.name in OTHER_MACS or work.macs == spec.macs, one.case
            assert work.workspace_bytes == one.workspace_bytes, one.case
            tensors = sum(tensor.size_bytes for tensor in (*spec.inputs, *spec.weights))
            if algorithm.name in SPARSE:
                tensors -= sum(map(zero_bytes, getattr(spec.op, "members", [spec])))
            emitted = bytes_of(one.input_sizes, spec.inputs) + one.weights_bytes
            assert tensors <= work.unique_bytes_read <= emitted, one.case
            assert work.streamed_bytes_read >= work.unique_bytes_read or isinstance(algorithm, QpuAlgorithm)
            results = sum(tensor.size_bytes for tensor in spec.outputs)
            assert results <= work.bytes_written <= one.stored_bytes(), one.case
            assert work.balance >= 1, one.case

    def test_buffers_have_the_sizes_of_their_layouts(self, ready: list[Built]) -> None:
        for one in ready:
            choice, spec = one.case.choice, one.case.spec
            for names, types, sizes in (
                (choice.input_layouts, spec.inputs, one.input_sizes),
                (choice.output_layouts, spec.outputs, one.output_sizes),
            ):
                expected = tuple(layout_named(n).elements(t) for n, t in zip(names, types, strict=True))
                assert sizes == expected, one.case

    @pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
    def test_results_are_the_references_whatever_lies_beside_the_buffers(
        self, ready: list[Built], poison: np.float32
    ) -> None:
        for one in ready:
            check_results(one, one.run(one.case.images, poison))

    @pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
    def test_padding_of_the_inputs_stays_in_padding(self, ready: list[Built], poison: np.float32) -> None:
        for one in ready:
            choice, types = one.case.choice, one.case.spec.inputs
            images = [
                np.where(padding(layout, type_), poison, image) if type_.dtype == "float32" else image
                for layout, type_, image in zip(choice.input_layouts, types, one.case.images, strict=True)
            ]
            check_results(one, one.run(images, poison))


def retyped(spec: LayerSpec, dtype: str) -> LayerSpec:
    """The layer with all tensors of another element type."""
    inputs, outputs, weights = (
        tuple(TensorType(tensor.shape, dtype) for tensor in tensors)
        for tensors in (spec.inputs, spec.outputs, spec.weights)
    )
    return LayerSpec(spec.op, inputs, outputs, weights)


def zero_bytes(spec: LayerSpec) -> int:
    """Bytes of the weights that are zero."""
    return spec.weights[0].size_bytes - 4 * spec.sparsity.weights if spec.sparsity else 0


def padding(layout: str, type_: TensorType) -> np.ndarray:
    """Which elements of a packed tensor are padding."""
    return layout_named(layout).pack(np.ones(type_.shape, np.float32)) == 0


def check_results(one: Built, results: list[FloatArray]) -> None:
    """Fails where a result is not the float64 reference's."""
    case = one.case
    references = evaluate_layer(case.spec, case.inputs, case.weights)
    for name, image, type_, expected in zip(
        case.choice.output_layouts, results, case.spec.outputs, references, strict=True
    ):
        result = layout_named(name).unpack(image, type_)
        assert result.dtype == type_.dtype, case
        error = np.abs(result - expected).max() / max(float(np.abs(expected).max()), 1e-3)
        assert error <= allowed_error(case.choice.algorithm, case.layer), f"{case}: {error:.3g}"
