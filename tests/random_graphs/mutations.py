"""Models made worse at random: bytes of a file, or fields of a model that stays one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

EXTREMES = (0, 1, -1, 2, 7, 255, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**63), 2**63 - 1)
NAMES = ("", "x0", "x1", "t0_0", "t1_0", "c0", "nowhere", "\0", "name\nof two lines")
TYPES = (*range(24), 99)


def changed_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """Bytes overwritten, flipped, taken out, doubled; or an end that is missing."""
    content = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(0, max(1, len(content))))
        kind = int(random.integers(0, 5))
        if kind == 0:
            content[place : place + 1] = bytes([int(random.integers(0, 256))])
        elif kind == 1 and content:
            content[place % len(content)] ^= 1 << int(random.integers(0, 8))
        elif kind == 2:
            del content[place : place + int(random.integers(1, 9))]
        elif kind == 3:
            content[place:place] = content[place : place + int(random.integers(1, 65))]
        elif random.random() < 0.2:
            del content[place:]
    return bytes(content)


def changed_fields(data: bytes, random: np.random.Generator) -> bytes:
    """One to four fields of the model set to something else."""
    model = ModelProto.FromString(data)
    for _ in range(int(random.integers(1, 5))):
        change = CHANGES[int(random.integers(0, len(CHANGES)))]
        change(model, random)
    return bytes(model.SerializeToString())


def _one(things: Sequence[object], random: np.random.Generator) -> int:
    return int(random.integers(0, len(things)))


def _node(model: ModelProto, random: np.random.Generator) -> NodeProto:
    return model.graph.node[_one(model.graph.node, random)] if model.graph.node else NodeProto()


def _attribute(model: ModelProto, random: np.random.Generator) -> AttributeProto:
    found = [attribute for node in model.graph.node for attribute in node.attribute]
    return found[_one(found, random)] if found else AttributeProto()


def _tensor(model: ModelProto, random: np.random.Generator) -> TensorProto:
    found = list(model.graph.initializer)
    return found[_one(found, random)] if found else TensorProto()


def _extreme(random: np.random.Generator) -> int:
    return EXTREMES[_one(EXTREMES, random)]


def _attribute_value(model: ModelProto, random: np.random.Generator) -> None:
    attribute = _attribute(model, random)
    if attribute.type == AttributeProto.INTS and attribute.ints:
        attribute.ints[_one(attribute.ints, random)] = _extreme(random)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = (0.0, -1.0, float("nan"), float("inf"), 1e38)[int(random.integers(0, 5))]
    elif attribute.type == AttributeProto.STRING:
        attribute.s = (b"", b"SAME", b"linear", b"\xff\xfe", b"LEFT")[int(random.integers(0, 5))]
    else:
        attribute.i = _extreme(random)


def _attribute_length(model: ModelProto, random: np.random.Generator) -> None:
    attribute = _attribute(model, random)
    if random.random() < 0.5:
        attribute.ints.append(_extreme(random))
    else:
        del attribute.ints[len(attribute.ints) // 2 :]


def _attribute_type(model: ModelProto, random: np.random.Generator) -> None:
    _attribute(model, random).type = AttributeProto.AttributeType.ValueType(int(random.integers(0, 14)))


def _attribute_name(model: ModelProto, random: np.random.Generator) -> None:
    names = (
        "axis",
        "pads",
        "strides",
        "kernel_shape",
        "mode",
        "group",
        "to",
        "value",
        "perm",
        "alpha",
        "direction",
    )
    _attribute(model, random).name = names[_one(names, random)]


def _attribute_gone(model: ModelProto, random: np.random.Generator) -> None:
    node = _node(model, random)
    if node.attribute:
        del node.attribute[_one(node.attribute, random)]


def _operator(model: ModelProto, random: np.random.Generator) -> None:
    names = _operators()
    _node(model, random).op_type = names[_one(names, random)]


def _operators() -> list[str]:
    return sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain})


def _wire(model: ModelProto, random: np.random.Generator) -> None:
    """An input or output of a node under another name, most of them names that there are."""
    node = _node(model, random)
    names = node.input if node.input and random.random() < 0.7 else node.output
    if names:
        known = [name for other in model.graph.node for name in (*other.input, *other.output)] or [""]
        pool = known if random.random() < 0.8 else list(NAMES)
        names[_one(names, random)] = pool[_one(pool, random)]


def _arity(model: ModelProto, random: np.random.Generator) -> None:
    node = _node(model, random)
    names = node.input if random.random() < 0.5 else node.output
    if names and random.random() < 0.5:
        del names[-1]
    else:
        names.append(NAMES[_one(NAMES, random)])


def _order(model: ModelProto, random: np.random.Generator) -> None:
    nodes = list(model.graph.node)
    random.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes if random.random() < 0.5 else nodes[: len(nodes) // 2])


def _constant(model: ModelProto, random: np.random.Generator) -> None:
    tensor = _tensor(model, random)
    kind = int(random.integers(0, 4))
    if kind == 0 and tensor.dims:
        tensor.dims[_one(tensor.dims, random)] = _extreme(random)
    elif kind == 1:
        tensor.data_type = TYPES[_one(TYPES, random)]
    elif kind == 2 and tensor.raw_data:
        tensor.raw_data = changed_bytes(tensor.raw_data, random)
    else:
        tensor.name = NAMES[_one(NAMES, random)]


def _input(model: ModelProto, random: np.random.Generator) -> None:
    info = model.graph.input[_one(model.graph.input, random)] if model.graph.input else onnx.ValueInfoProto()
    tensor = info.type.tensor_type
    if tensor.shape.dim and random.random() < 0.6:
        tensor.shape.dim[_one(tensor.shape.dim, random)].dim_value = _extreme(random)
    else:
        tensor.elem_type = TYPES[_one(TYPES, random)]


def _versions(model: ModelProto, random: np.random.Generator) -> None:
    if model.opset_import:
        model.opset_import[0].version = int(random.integers(1, 32))


CHANGES: Sequence[Callable[[ModelProto, np.random.Generator], None]] = (
    _attribute_value,
    _attribute_length,
    _attribute_type,
    _attribute_name,
    _attribute_gone,
    _operator,
    _wire,
    _wire,
    _arity,
    _order,
    _constant,
    _input,
    _versions,
)
