"""Every registered operator and ONNX handler: built-ins and plug-ins through the same entry points.

`explore.operators`: a module of operators, or a package whose `MODULES` lists modules in it. A module's operators are
the subclasses of `Operator` that it defines, its handlers the functions marked by `handles` and those in its list
`HANDLERS`. `explore.expressions`: a mapping from ONNX operators to lines, as
`codegen.operators.elementwise.EXPRESSIONS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from codegen.errors import OperatorRegistryError
from codegen.onnx_import.registry import OnnxHandler
from codegen.operator import Operator, Stage

OPERATORS_GROUP = "explore.operators"
EXPRESSIONS_GROUP = "explore.expressions"


@dataclass(frozen=True)
class Registry:
    """Operators by class name, handlers by ONNX domain and operator."""

    operators: Mapping[str, type[Operator]]
    handlers: Mapping[tuple[str, str], OnnxHandler]


@cache
def registry() -> Registry:
    """All there is; raises OperatorRegistryError where two things have one name, or a package does not load."""
    operators: dict[str, type[Operator]] = {}
    handlers: dict[tuple[str, str], OnnxHandler] = {}
    for module, point in _modules():
        for operator in _operators_in(module):
            if operator.__name__ in operators:
                raise OperatorRegistryError(
                    f"two operators are named {operator.__name__!r}: in {operators[operator.__name__].__module__} "
                    f"and {module.__name__} (entry point {point.name!r}); rename the plug-in's"
                )
            operators[operator.__name__] = operator
        for handler in (*vars(module).values(), *getattr(module, "HANDLERS", ())):
            if isinstance(handler, OnnxHandler):
                _add(handlers, handler, point)
    for point in sorted(entry_points(group=EXPRESSIONS_GROUP), key=lambda p: p.name):
        for handler in _lines(point):
            _add(handlers, handler, point)
    return Registry(operators, handlers)


def operators_of(stage: Stage) -> tuple[type[Operator], ...]:
    """The operators that a graph of that stage may hold, by name."""
    known = registry().operators
    return tuple(known[name] for name in sorted(known) if stage in known[name].stages)


def supported_operators() -> dict[str, str]:
    """The supported ONNX operators in alphabetical order, with the forms that are taken; those of other domains than
    the default one as `domain.Operator`.
    """
    known = registry().handlers
    names = {f"{domain}.{op_type}" if domain else op_type: key for key in known for domain, op_type in [key]}
    return {name: known[names[name]].forms for name in sorted(names)}


def _add(handlers: dict[tuple[str, str], OnnxHandler], handler: OnnxHandler, point: EntryPoint) -> None:
    key = (handler.domain, handler.op_type)
    if key in handlers and handlers[key] is not handler:
        raise OperatorRegistryError(
            f"two handlers import the ONNX operator {handler.op_type!r}; the second is of entry point "
            f"{point.name!r} ({point.value}): take it out"
        )
    handlers[key] = handler


def _modules() -> Iterator[tuple[ModuleType, EntryPoint]]:
    for point in sorted(entry_points(group=OPERATORS_GROUP), key=lambda p: p.name):
        module = _loaded(point)
        if not isinstance(module, ModuleType):
            raise OperatorRegistryError(f"entry point {point.name!r} ({point.value}) names no module")
        names = getattr(module, "MODULES", None)
        if names is None:
            yield module, point
            continue
        for name in names:
            try:
                yield import_module(f"{module.__name__}.{name}"), point
            except ImportError as error:
                raise OperatorRegistryError(
                    f"operator module {name!r} of entry point {point.name!r} does not load: {error}; reinstall it"
                ) from error


def _operators_in(module: ModuleType) -> Iterator[type[Operator]]:
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, Operator) and value.__module__ == module.__name__:
            yield value


def _lines(point: EntryPoint) -> Iterator[OnnxHandler]:
    from codegen.operators.elementwise import handler_of

    table = _loaded(point)
    if not isinstance(table, Mapping):
        raise OperatorRegistryError(
            f"entry point {point.name!r} ({point.value}) names no table of expressions"
        )
    for name, line in table.items():
        yield handler_of(name, line)


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise OperatorRegistryError(
            f"entry point {point.name!r} ({point.value}) does not load: {error}; reinstall its package"
        ) from error
