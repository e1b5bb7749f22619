"""Every registered engine and the layouts they bring: built-ins and plug-ins through the same entry points.

`explore.engines`: a class without parameters, whose objects are an `Engine`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from codegen.engine import Engine
from codegen.errors import EngineRegistryError, ScheduleError
from codegen.layout import Layout, Nchw
from codegen.memory_space import HOST_MEMORY, MemorySpace

ENTRY_POINT_GROUP = "explore.engines"
_NAME = re.compile("[a-z][a-z0-9_]{0,39}")


@cache
def engines() -> Mapping[str, Engine]:
    """Every engine by name, sorted; raises EngineRegistryError where two have one name, or a package does not load."""
    found: dict[str, Engine] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        engine = _loaded(point)
        if not _NAME.fullmatch(engine.name):
            raise EngineRegistryError(
                f"engine {engine.name!r} of entry point {point.name!r}: a name is lower-case letters, digits and _"
            )
        if engine.name in found:
            raise EngineRegistryError(
                f"two engines are named {engine.name!r} (second: entry point {point.name!r}, {point.value}); "
                "rename the plug-in's"
            )
        found[engine.name] = engine
    if not found:
        raise EngineRegistryError("no engine is registered: install the package (`./bootstrap test` does)")
    return found


def engine_named(name: str) -> Engine:
    """The engine of that name; raises ScheduleError listing the known ones."""
    known = engines()
    if name not in known:
        raise ScheduleError(
            f"unknown engine {name!r}; known: {', '.join(known)}; install the plug-in that brings it"
        )
    return known[name]


def host_engines() -> tuple[str, ...]:
    """Names of the engines whose layers run on cores of the host."""
    return tuple(name for name, engine in engines().items() if engine.keeps_cores_busy)


@cache
def memories() -> Mapping[str, MemorySpace]:
    """Every memory by name; raises EngineRegistryError where two engines differ on one."""
    found = {HOST_MEMORY.name: HOST_MEMORY}
    for engine in engines().values():
        if found.setdefault(engine.memory.name, engine.memory) != engine.memory:
            raise EngineRegistryError(
                f"engine {engine.name!r} brings a memory {engine.memory.name!r}, which there is already with other "
                "lines or guards; rename it"
            )
    return found


@cache
def layouts() -> Mapping[str, Layout]:
    """Every layout by name; raises EngineRegistryError where two have one name."""
    found: dict[str, Layout] = {Nchw.name: Nchw()}
    for engine in engines().values():
        for layout in engine.layouts:
            if layout.name in found:
                raise EngineRegistryError(
                    f"engine {engine.name!r} brings a layout {layout.name!r}, which there is already; rename it"
                )
            found[layout.name] = layout
    return found


def layout_named(name: str) -> Layout:
    """The layout of that name; raises ScheduleError naming the known ones."""
    known = layouts()
    if name not in known:
        raise ScheduleError(f"unknown layout {name!r}; known: {', '.join(sorted(known))}")
    return known[name]


def _loaded(point: EntryPoint) -> Engine:
    try:
        engine: Engine = point.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise EngineRegistryError(
            f"engine {point.name!r} ({point.value}) does not load: {error}; reinstall its package"
        ) from error
    members = (name for name in (*Engine.__annotations__, *vars(Engine)) if not name.startswith("_"))
    missing = [name for name in members if not hasattr(engine, name)]
    if missing:
        raise EngineRegistryError(
            f"engine {point.name!r} ({point.value}) does not have {', '.join(missing)}; "
            "ask its author to add it"
        )
    return engine
