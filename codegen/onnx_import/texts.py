"""Classes that texts name, as places in a table of these: what reads and gives such texts reads and gives integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
CLASSIFIERS = {
    "LinearClassifier": "classlabels_ints",
    "SVMClassifier": "classlabels_ints",
    "TreeEnsembleClassifier": "classlabels_int64s",
}
"""Those whose first output names a class, with the attribute of the classes that are integers."""
MOVING = ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Gather", "ArrayFeatureExtractor", "Cast")
"""What gives elements of its first input."""
UNKNOWN = "_Unused"  # a LabelEncoder's text for what is not among its keys
Table = tuple[str, ...]


def texts_as_places(model: ModelProto) -> tuple[ModelProto, dict[str, Table]]:
    """The model with int64 places in tables in the stead of texts, and the table of each output that was of texts.

    What does more with texts than to name a class, move or map it, and inputs that are texts, stay as they are.
    """
    if not _has_texts(model):
        return model, {}
    renewed = ModelProto()
    renewed.CopyFrom(model)
    tables: dict[str, Table] = {}
    for tensor in renewed.graph.initializer:
        if tensor.data_type == TensorProto.STRING:
            table, shape = _texts(tensor.string_data), tuple(tensor.dims)
            if len(table) != np.prod(shape, dtype=object) or min(shape, default=1) < 1:
                continue
            tables[tensor.name] = table
            tensor.CopyFrom(numpy_helper.from_array(np.arange(len(table)).reshape(shape), tensor.name))
    for node in renewed.graph.node:
        given = _rewritten(node, tables.get(node.input[0]) if node.input else None)
        if given is not None:
            tables[node.output[0]] = given
    found = {info.name: tables[info.name] for info in renewed.graph.output if info.name in tables}
    for info in (*renewed.graph.output, *renewed.graph.value_info):
        if info.name in tables:
            info.type.tensor_type.elem_type = TensorProto.INT64
    return renewed, found


def _has_texts(model: ModelProto) -> bool:
    graph = model.graph
    return any(tensor.data_type == TensorProto.STRING for tensor in graph.initializer) or any(
        node.domain == ML and node.op_type in {*CLASSIFIERS, "LabelEncoder"} for node in graph.node
    )


def _rewritten(node: NodeProto, table: Table | None) -> Table | None:
    """The table of the node's first output, None where that is of no texts; the node then has places."""
    if node.domain == ML and node.op_type in CLASSIFIERS:
        classes = _strings(node, "classlabels_strings")
        if not classes:
            return None
        _replace(node, ("classlabels_strings",), {CLASSIFIERS[node.op_type]: list(range(len(classes)))})
        return classes
    if node.domain == ML and node.op_type == "LabelEncoder":
        return _encoded(node, table)
    if table is None or node.op_type not in MOVING:
        return None
    if node.op_type == "Cast":
        if not any(one.name == "to" and one.i == TensorProto.STRING for one in node.attribute):
            return None
        _replace(node, ("to",), {"to": TensorProto.INT64})
    return table


def _encoded(node: NodeProto, table: Table | None) -> Table | None:
    """Of a LabelEncoder: keys that are texts as places in the table of its input, values that are texts as places in a
    table of theirs, whose last is that of what is no key.
    """
    keys, values = (
        _strings(node, f"{what}_strings") or _tensor_texts(node, what) for what in ("keys", "values")
    )
    if keys and table is not None:
        if any(count != len(keys) for count in _counts(node)):
            return None
        order = {key: place for place, key in enumerate(keys)}
        known = [place for place, text in enumerate(table) if text in order]
        chosen = [order[table[place]] for place in known]
        if not known:
            return None
        values = tuple(values[place] for place in chosen) if values else ()
        for one in node.attribute:
            _choose(one, chosen)
        _replace(node, ("keys_strings", "keys_tensor"), {"keys_int64s": known})
    if not values or (keys and table is None):
        return None
    given = next((one for one in node.attribute if one.name in ("default_string", "default_tensor")), None)
    default = UNKNOWN
    if given is not None:
        default = _texts([given.s] if given.s else given.t.string_data or [UNKNOWN])[0]
    gone = ("values_strings", "values_tensor", "default_string", "default_tensor")
    _replace(node, gone, {"values_int64s": list(range(len(values))), "default_int64": len(values)})
    return (*values, default)


def _counts(node: NodeProto) -> list[int]:
    """How many values a LabelEncoder has, as each of its attributes has it."""
    lists = [
        _array(one) if one.name == "values_tensor" else one.strings or one.ints or one.floats
        for one in node.attribute
        if one.name.startswith("values_")
    ]
    return [len(one) for one in lists]


def _choose(attribute: AttributeProto, places: Sequence[int]) -> None:
    """Values of numbers in the order of other keys."""
    if attribute.name == "values_tensor" and attribute.t.data_type != TensorProto.STRING:
        attribute.t.CopyFrom(numpy_helper.from_array(_array(attribute)[list(places)]))
    elif attribute.name == "values_int64s":
        attribute.ints[:] = [attribute.ints[place] for place in places]
    elif attribute.name == "values_floats":
        attribute.floats[:] = [attribute.floats[place] for place in places]


def _strings(node: NodeProto, name: str) -> Table:
    return next((_texts(one.strings) for one in node.attribute if one.name == name), ())


def _tensor_texts(node: NodeProto, what: str) -> Table:
    found = [one for one in node.attribute if one.name == f"{what}_tensor"]
    return _texts(found[0].t.string_data) if found else ()


def _array(attribute: AttributeProto) -> Any:
    texts = attribute.t.string_data
    return (
        texts
        if attribute.t.data_type == TensorProto.STRING
        else numpy_helper.to_array(attribute.t).reshape(-1)
    )


def _texts(values: Iterable[Any]) -> Table:
    return tuple(one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values)


def _replace(node: NodeProto, names: Sequence[str], new: dict[str, Any]) -> None:
    kept = [one for one in node.attribute if one.name not in names]
    kept += [helper.make_attribute(name, value) for name, value in new.items()]
    del node.attribute[:]
    node.attribute.extend(kept)
