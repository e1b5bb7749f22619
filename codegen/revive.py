"""The inverse of `codegen.canonical`: canonical JSON back to the frozen dataclasses it was written from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from codegen import expression, graph, schedule, sparsity, tensor
from codegen.canonical import plain
from codegen.errors import CanonicalFormError
from codegen.operator_registry import registry

T = TypeVar("T")


@cache
def revivable() -> Mapping[str, type[Any]]:
    """The classes that canonical forms of this package hold, by name; registered operators are among them."""
    kinds = (
        tensor.TensorType,
        sparsity.Sparsity,
        expression.Constant,
        expression.Operand,
        expression.Apply,
        graph.LayerSpec,
        schedule.Choice,
        schedule.Candidate,
        schedule.Work,
    )
    return {**registry().operators, **{kind.__name__: kind for kind in kinds}}


def revive(value: Any, known: Mapping[str, type[Any]] | None = None) -> Any:
    """The object whose `plain` form `value` is; lists become tuples.

    Packages above pass their own dataclasses in `known`, by class name. A field that the form lacks has its default.
    Raises CanonicalFormError naming the
    place where the form has an unknown type, lacks others or exceeds fields, or holds a value of another type.
    """
    return _revive(value, revivable() if known is None else known, "value")


def revive_as(expected: type[T], value: Any, known: Mapping[str, type[Any]] | None = None) -> T:
    """`revive`, with the class the form must have."""
    known = revivable() if known is None else known
    known = known if expected.__name__ in known else {**known, expected.__name__: expected}
    result = revive(value, known)
    if not isinstance(result, expected):
        raise CanonicalFormError(f"expected the form of a {expected.__name__}, found {_shown(value)}")
    return result


def revive_json(expected: type[T], text: str, known: Mapping[str, type[Any]] | None = None) -> T:
    """`revive_as` from canonical JSON text."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CanonicalFormError(f"form of a {expected.__name__} is not JSON: {error}") from error
    return revive_as(expected, value, known)


def _revive(value: Any, known: Mapping[str, type[Any]], place: str) -> Any:
    if isinstance(value, dict):
        return _revive_dataclass(value, known, place)
    if isinstance(value, (list, tuple)):
        return tuple(_revive(item, known, f"{place}[{i}]") for i, item in enumerate(value))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CanonicalFormError(f"{place}: {type(value).__name__} has no canonical form")


def _revive_dataclass(value: dict[str, Any], known: Mapping[str, type[Any]], place: str) -> Any:
    name = value.get("type")
    if not isinstance(name, str) or name not in known:
        raise CanonicalFormError(f"{place}: unknown type {name!r}; known: {', '.join(sorted(known))}")
    kind: Any = known[name]
    wanted = {field.name for field in dataclasses.fields(kind)}
    present = set(value) - {"type"}
    if not _required(kind) <= present <= wanted:
        raise CanonicalFormError(
            f"{place}: a {name} has the fields {', '.join(sorted(wanted))}; "
            f"missing: {', '.join(sorted(_required(kind) - present)) or 'none'}, "
            f"unexpected: {', '.join(sorted(present - wanted)) or 'none'}"
        )
    fields = {key: _revive(value[key], known, f"{place}.{key}") for key in sorted(present)}
    for key, hint in _hints(kind).items():
        if key in present and not _fits(fields[key], hint):
            raise CanonicalFormError(f"{place}.{key}: {_shown(value[key])} is no {_hint_name(hint)}")
    return kind(**fields)


@cache
def _required(kind: Any) -> frozenset[str]:
    """Fields without a default: what has one may be younger than the form."""
    return frozenset(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and _tuple_fits(value, arguments)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _tuple_fits(value: tuple[Any, ...], arguments: tuple[Any, ...]) -> bool:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(_fits(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(_fits, value, arguments))


def _shown(value: Any) -> str:
    text = repr(value if not dataclasses.is_dataclass(value) else plain(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _hint_name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint)
