"""Engines: the built-in ones conform, names and layouts are unique."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points

import pytest

from codegen import engine_registry
from codegen.engine import Engine
from codegen.engine_registry import engine_named, engines, host_engines, layouts, memories
from codegen.engines.cpu.engine import CpuEngine
from codegen.engines.videocore4.engine import VideoCore4Engine
from codegen.errors import EngineRegistryError, ScheduleError
from codegen.memory_space import HOST, MemorySpace
from codegen.operators.conv2d import Conv2d
from microbench.profile import load_profile
from tests.codegen.engine_conformance import EngineConformance
from tests.codegen.layers import convolution

GROUP = engine_registry.ENTRY_POINT_GROUP
PI_ZERO = load_profile("pi-zero").target()
POINTWISE = convolution(20, 24, (5, 6), Conv2d((1, 1)))


class TestCpu(EngineConformance):
    engine: Engine = CpuEngine()
    target = load_profile("host").target()
    spec = POINTWISE


class TestVideoCore4(EngineConformance):
    engine: Engine = VideoCore4Engine()
    target = PI_ZERO
    spec = POINTWISE

    def test_it_is_on_no_board_without_qpus(self) -> None:
        assert not self.engine.is_on(load_profile("host").target())


class Impostor(CpuEngine):
    """Of a name that there is."""


class Unspeakable(CpuEngine):
    """Of a name that is no word of C."""

    name = "digital signals!"


class Copycat(CpuEngine):
    """Brings layouts that there are."""

    name = "copycat"


class Guarded(CpuEngine):
    """Has the host's memory, but not as it is."""

    name = "guarded"
    memory = MemorySpace(HOST, 64, 512)


class Silent:
    """Says nothing of itself but its name."""

    name = "silent"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Registers classes of this file beside the built-in engines."""
    added: list[str] = []
    built_in = tuple(entry_points(group=GROUP))

    def points(group: str) -> Sequence[EntryPoint]:
        assert group == GROUP
        return (*built_in, *(EntryPoint(f"z_{name}", f"{__name__}:{name}", group) for name in added))

    monkeypatch.setattr(engine_registry, "entry_points", points)
    for cached in (engines, layouts, memories):
        cached.cache_clear()
    yield added
    for cached in (engines, layouts, memories):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Impostor", "two engines are named 'cpu'.*z_Impostor.*rename"),
        ("Unspeakable", "'digital signals!' of entry point 'z_Unspeakable'"),
        ("Silent", "does not have memory, reads.*, section; ask"),
        ("Absent", "does not load.*reinstall"),
    ],
)
def test_what_is_no_further_engine_is_refused(registered: list[str], name: str, message: str) -> None:
    registered.append(name)
    with pytest.raises(EngineRegistryError, match=message):
        engines()


def test_a_layout_belongs_to_one_engine(registered: list[str]) -> None:
    registered.append("Copycat")
    assert set(host_engines()) == {"copycat", "cpu"}
    with pytest.raises(
        EngineRegistryError, match="'copycat' brings a layout 'channel4', which there is already"
    ):
        layouts()


def test_a_memory_is_the_same_for_all_engines(registered: list[str]) -> None:
    registered.append("Guarded")
    with pytest.raises(EngineRegistryError, match="'guarded' brings a memory 'host', which there is already"):
        memories()


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(ScheduleError, match="unknown engine 'npu'; known: cpu, videocore4"):
        engine_named("npu")
