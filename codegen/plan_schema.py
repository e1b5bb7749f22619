"""The JSON Schema of plan files: what every field, axis, layout, algorithm and operator means.

Texts and formulas stand in the docstrings of the classes, so that what a package brings is described like the
built-in: fields of operators below `Fields:`, axes of algorithms below `Axes:`, and below `Formulas:` where elements
lie, of a tensor in a layout and of an algorithm's weights. A test evaluates each formula beside the code.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from codegen.algorithm import Algorithm, algorithms
from codegen.canonical import is_optional
from codegen.docstrings import description, section
from codegen.element_type import element_types
from codegen.engine_registry import engines, layouts
from codegen.expression import KNOWN, Apply, Constant, Operand
from codegen.graph import LayerSpec
from codegen.layout import Layout
from codegen.operator_registry import registry
from codegen.plan import PLAN_VERSION, Plan
from codegen.schedule import Candidate, Choice
from codegen.sparsity import Sparsity
from codegen.tensor import TensorType

SCHEMA_PATH = Path(__file__).parent / "schemas" / f"plan-v{PLAN_VERSION}.schema.json"
Schema = dict[str, Any]

ABOUT = """\
A formula (`x-formulas`) is of whole numbers from 0 on, with +, -, *, // (the quotient, rounded down), % (remainder),
min(a, b) and parentheses; a name in it is a size or place that is listed here, an axis of the choice, or another
formula of the same object. Places count elements, not bytes, from 0. What lies where no place falls is padding.
Of a layout: N, C and P are the batch, the channels and the pixels of a tensor of shape (N, C, ...), P the product of
what is behind C and 1 where nothing is; n, c and p are the place of an element, p counted row by row. `place` is where
that element lies, `elements` how many the tensor takes. A tensor of fewer than two axes is row-major (nchw) alone.
Of an algorithm: O, I, Y and X are the output channels, the input channels of a group, and the rows and columns of the
kernel (1 for a fully connected layer), G the groups; o counts all output channels, i the inputs of a group. `weight` is
where weights[0][o][i][y][x] lies, `bias` where weights[1][o] does, `elements` how many both take; what lies between is
zero. Where an algorithm has no such formulas, weights lie as its program wants it, which a plan does not say."""


def plan_schema() -> Schema:
    """The JSON Schema of plan files of this version, with what installed packages bring."""
    own = Plan.model_json_schema(mode="serialization")
    definitions = own.pop("$defs")
    definitions["PlanStep"]["properties"] |= {
        "spec": {**_reference(LayerSpec), "description": "what the layer computes"},
        "choice": {**_reference(Choice), "description": "how it is computed"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_untitled(own),
        "title": f"explore-edge plan, version {PLAN_VERSION}",
        "$comment": " ".join(ABOUT.split()),
        "$defs": {**_untitled(definitions), **_definitions()},
    }


def plan_schema_text() -> str:
    """The JSON Schema as its file has it."""
    return json.dumps(plan_schema(), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _definitions() -> Schema:
    operators = registry().operators
    kinds: tuple[type, ...] = (Constant, Operand, *operators.values())
    return {
        "Layout": {
            "description": "How the elements of a tensor lie in memory, by name",
            "oneOf": [_layout(name, layout) for name, layout in layouts().items()],
        },
        "Element": {
            "description": "Name of an element type, NumPy's",
            "enum": sorted(element_types()),
        },
        "TensorType": _dataclass(TensorType, dtype="Element"),
        "LayerSpec": _dataclass(LayerSpec),
        "Sparsity": _dataclass(Sparsity),
        "Candidate": _dataclass(Candidate),
        "Operator": {
            "description": "What a layer computes: an operator with its parameters",
            "oneOf": [_reference(kind) for kind in operators.values()],
        },
        "Expression": {
            "description": "A function of operands, element by element: a number, an operand, or a function of others",
            "oneOf": [_reference(kind) for kind in (Constant, Operand, Apply)],
        },
        **{kind.__name__: _dataclass(kind) for kind in kinds},
        "Apply": _apply(),
        "Choice": _choice(),
        **{name: _algorithm(algorithm) for name, algorithm in algorithms().items()},
    }


def _layout(name: str, layout: Layout) -> Schema:
    return {
        "const": name,
        "description": description(type(layout)),
        "x-formulas": _formulas(type(layout), vars(layout)),
    }


def _formulas(kind: type, known: Mapping[str, object] | None = None) -> Schema:
    """The formulas of a class, with the numbers that an object of it has in the place of their names."""

    def filled(formula: str) -> str:
        return re.sub(
            r"[a-z_]\w*", lambda m: str(n) if isinstance(n := (known or {}).get(m[0]), int) else m[0], formula
        )

    return {name: filled(formula) for name, formula in section(kind, "Formulas").items()}


def _choice() -> Schema:
    described = _dataclass(Choice, input_layouts="Layout", output_layouts="Layout")
    described["properties"] |= {
        "engine": {**described["properties"]["engine"], "examples": list(engines())},
        **{axes: {**described["properties"][axes], "items": _pair()} for axes in ("split", "tile")},
    }
    described["allOf"] = [
        {
            "if": {"properties": {"algorithm": {"const": name}}},
            "then": {"$ref": f"#/$defs/{name}"},
        }
        for name in algorithms()
    ]
    return described


def _pair(name: Schema | None = None, value: Schema | None = None) -> Schema:
    return {
        "type": "array",
        "prefixItems": [name or {"type": "string"}, value or {"type": ["integer", "string"]}],
        "minItems": 2,
        "maxItems": 2,
    }


def _algorithm(algorithm: Algorithm) -> Schema:
    axes = [
        {**_pair({"const": name}, _values(algorithm, name)), "description": text}
        for name, text in section(type(algorithm), "Axes").items()
    ]
    found: Schema = {
        "description": description(type(algorithm)),
        "properties": {
            "engine": {"const": algorithm.engine},
            **{role: {"items": {"anyOf": axes}} for role in ("split", "tile") if axes},
        },
        "x-element-types": sorted(algorithm.element_types),
    }
    formulas = _formulas(type(algorithm))
    return {**found, "x-formulas": formulas} if formulas else found


def _values(algorithm: Algorithm, axis: str) -> Schema:
    names = algorithm.axis_names.get(axis)
    return {"enum": list(names)} if names else {"type": "integer", "minimum": 1}


def _apply() -> Schema:
    found = _dataclass(Apply)
    found["properties"]["primitive"] |= {"enum": list(KNOWN)}
    found["x-arguments"] = {name: primitive.arity for name, primitive in KNOWN.items()}
    return found


def _dataclass(kind: type, **names: str) -> Schema:
    """An object with `type`, the class's name, and its fields; `names`: what texts in a field are names of."""
    texts, hints = section(kind, "Fields"), get_type_hints(kind)
    fields = [(field, hints[field.name]) for field in dataclasses.fields(kind)]
    return {
        "type": "object",
        "description": description(kind),
        "properties": {
            "type": {"const": kind.__name__},
            **{
                field.name: {
                    **_of_type(hint, names.get(field.name)),
                    **({"description": text} if text else {}),
                }
                for field, hint in fields
                for text in (texts.get(field.name, ""),)
            },
        },
        "required": ["type", *(field.name for field, _ in fields if not is_optional(field))],
        "additionalProperties": False,
    }


def _reference(kind: type) -> Schema:
    return {"$ref": f"#/$defs/{kind.__name__}"}


_NAMED: Mapping[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
}


def _of_type(hint: Any, name: str | None = None) -> Schema:
    """What values of a type are; texts, where they are names, those of a definition."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _array(arguments, name)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return {"anyOf": [_of_type(option) for option in arguments]}
    if hint is str and name is not None:
        return {"$ref": f"#/$defs/{name}"}
    return _NAMED[hint] if hint in _NAMED else _reference(hint)


def _array(arguments: tuple[Any, ...], name: str | None) -> Schema:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": _of_type(arguments[0], name)}
    return {
        "type": "array",
        "prefixItems": [_of_type(one) for one in arguments],
        "minItems": len(arguments),
        "maxItems": len(arguments),
    }


def _untitled(schema: Any) -> Any:
    """Without the titles that say a field's name once more, and with descriptions in one line."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Iterable[tuple[str, Any]] = schema.items()
    return {
        key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _untitled(value)
        for key, value in kept
        if not (key == "title" and isinstance(value, str))
    }
