"""What every engine keeps, its own tests and a plug-in's: a class supplies the engine, a board and a layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pytest

from codegen.algorithm import Algorithm, algorithms
from codegen.engine import Engine
from codegen.engine_registry import engine_named, layout_named, memories
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.layout import Nchw
from codegen.memory_space import GPU, HOST
from codegen.placement import Placement
from codegen.program import GpuProgram
from codegen.schedule import Candidate, Choice
from codegen.section import Section, SectionStep, Share
from codegen.target import Target
from codegen.tensor import TensorType


class EngineConformance:
    """Tests of one registered engine, on a board that has it, with a layer that it computes; subclasses set these."""

    engine: Engine
    target: Target
    spec: LayerSpec

    def test_it_is_registered_under_its_name(self) -> None:
        assert type(engine_named(self.engine.name)) is type(self.engine)

    def test_it_reads_and_writes_memories_that_a_bundle_has(self) -> None:
        assert self.engine.reads and self.engine.reads <= {HOST, GPU}
        assert self.engine.writes and self.engine.writes <= {HOST, GPU}

    def test_its_own_memory_is_one_that_it_reaches(self) -> None:
        assert memories()[self.engine.memory.name] == self.engine.memory
        assert self.engine.memory.name in self.engine.reads & self.engine.writes
        assert (self.engine.memory.name == GPU) == self.engine.launches

    def test_its_layouts_are_found_by_name(self) -> None:
        for layout in self.engine.layouts:
            assert layout_named(layout.name) is layout

    def test_it_writes_parts_in_layouts_that_are_its_own_or_everybodys(self) -> None:
        own = {layout.name for layout in self.engine.layouts}
        assert self.engine.part_layouts <= {*own, Nchw.name}

    def test_algorithms_of_its_name_are_its_own_and_no_others(self) -> None:
        known = algorithms().values()
        assert [a.name for a in known if self.engine.owns(a)] == [
            a.name for a in known if a.engine == self.engine.name
        ]

    def test_it_is_on_its_target_and_keeps_to_limits_where_it_launches(self) -> None:
        assert self.engine.is_on(self.target)
        limits = self.engine.launch_limits(self.target)
        assert limits.seconds > 0 and limits.marks >= 1

    def test_outputs_may_differ_by_little(self) -> None:
        assert 0 < self.engine.tolerance <= 1e-2

    def test_algorithms_of_others_are_refused(self) -> None:
        _, choice = self._chosen()
        other = next(a for a in algorithms().values() if a.engine != self.engine.name)
        with pytest.raises(ScheduleError, match=other.name):
            self.engine.program(other, Candidate(self.spec, choice), self.target, (), "f")

    def test_a_program_of_one_layer_is_an_image_where_it_launches(self) -> None:
        step = self._share().steps[0]
        program = self.engine.program(step.algorithm, step.candidate, self.target, step.weights, "f")
        assert (program.kind == "gpu") == self.engine.launches

    def test_a_section_is_a_function_for_each_step_or_one_image(self) -> None:
        share = self._share()
        section = self.engine.section(share, self.target)
        assert isinstance(section, GpuProgram) == self.engine.launches
        if isinstance(section, GpuProgram):
            self._check_image(section, share)
        else:
            assert all(program.kind == "cpu" for program in section)
            assert len(section) == len(share.steps)
            texts = {(program.entry, program.source) for program in section}
            assert len(texts) == len(dict(texts)), "functions of one name are one function"
            assert section[0].entry == share.steps[0].entry

    def test_a_section_of_equal_steps_has_equal_bytes(self) -> None:
        one, other = (_content(self.engine.section(self._share(), self.target)) for _ in range(2))
        assert one == other

    def _check_image(self, image: GpuProgram, share: Share) -> None:
        """A launch for each run; what launches touch lies where it was placed, behind all else."""
        assert [launch.layers for launch in image.launches] == [("one",), ("other",)]
        start = image.size_bytes - share.placement.size_bytes
        assert image.weights_offset_bytes <= image.words.nbytes <= start
        regions = share.placement.behind(start)
        assert image.inputs == tuple(regions[name] for name in share.inputs)
        assert image.outputs == tuple(regions[name] for name in share.outputs)

    def _chosen(self) -> tuple[Algorithm, Choice]:
        """The first of its algorithms that computes the layer, and the first point with a kernel."""
        for algorithm in algorithms().values():
            if algorithm.engine == self.engine.name and algorithm.applies(self.spec, self.target):
                for point in algorithm.space(self.spec, self.target).points():
                    with suppress(ScheduleError):
                        return algorithm, algorithm.choice(self.spec, self.target, point)
        raise AssertionError(f"no algorithm of {self.engine.name} computes {self.spec.describe()}")

    def _share(self) -> Share:
        """The layer twice, with other weights and from the same inputs; each in a launch of its own."""
        algorithm, choice = self._chosen()
        reads, sizes = self._buffers("x", choice.input_layouts, self.spec.inputs)
        runs, outputs = [], list[str]()
        for index, name in enumerate(("one", "other")):
            writes, written = self._buffers(name, choice.output_layouts, self.spec.outputs)
            weights = [np.full(tensor.shape, index + 1, np.float32) for tensor in self.spec.weights]
            candidate = Candidate(self.spec, choice)
            runs.append(
                [
                    SectionStep(
                        index, name, "f", algorithm, candidate, weights, reads, writes, (None,), 0.0, (1.0,)
                    )
                ]
            )
            sizes.update(written)
            outputs += writes
        runs = runs if self.engine.launches else [[*runs[0], *runs[1]]]
        return Share(runs, Placement.side_by_side(sizes, self.engine.memory), reads, tuple(outputs))

    @staticmethod
    def _buffers(
        name: str, layouts: Sequence[str], types: Sequence[TensorType]
    ) -> tuple[tuple[str, ...], dict[str, int]]:
        sizes = {
            f"{name}{i}": layout_named(layout).size_bytes(type_)
            for i, (layout, type_) in enumerate(zip(layouts, types, strict=True))
        }
        return tuple(sizes), sizes


def _content(section: Section) -> object:
    if isinstance(section, GpuProgram):
        return section.words.tobytes(), section.relocations.tobytes(), section.launches
    return [(program.entry, program.source, program.weights.tobytes()) for program in section]
