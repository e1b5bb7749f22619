"""What every engine keeps, its own tests and a plug-in's: a class supplies the engine."""

from __future__ import annotations

from codegen.algorithm import algorithms
from codegen.engine import Engine
from codegen.engine_registry import engine_named, layout_named
from codegen.layout import Nchw
from codegen.memory_space import GPU, HOST
from codegen.target import Target


class EngineConformance:
    """Tests of one registered engine on a target that has it; subclasses set both."""

    engine: Engine
    target: Target

    def test_it_is_registered_under_its_name(self) -> None:
        assert type(engine_named(self.engine.name)) is type(self.engine)

    def test_it_reads_and_writes_memories_that_a_bundle_has(self) -> None:
        assert self.engine.reads and self.engine.reads <= {HOST, GPU}
        assert self.engine.writes and self.engine.writes <= {HOST, GPU}

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
        assert limits.seconds > 0 and limits.layers >= 1

    def test_outputs_may_differ_by_little(self) -> None:
        assert 0 < self.engine.tolerance <= 1e-2
