"""Writes a network node by node as exporters do, while a batch of images flows through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codegen.expression import RELU, RESULT, Operand, as_clamp, clamp
from codegen.graph import type_of
from codegen.operator import Operator
from codegen.operators.batch_normalization import BatchNormalization
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.pool2d import Pool2d
from codegen.tensor import Array, Doubles
from codegen.zoo.calibration import calibration_images, channel_statistics
from codegen.zoo.dialect import DIALECTS, Attributes
from codegen.zoo.registry import Options

OPSET = 17
IR_VERSION = 8
EPSILON = 1e-5
RELU6 = clamp(RESULT, 0.0, 6.0)
INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True)
class Branch:
    """A place in the network that later layers can go on from: a tensor and its value on the images."""

    tensor: str
    value: Doubles


class NetworkWriter:
    """A network of one input image; each method appends a layer behind the last one, or behind a branch."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        self._dialect = DIALECTS[options.style]
        # RandomState's streams are frozen for ever (NEP 19), those of numpy's newer generators are not.
        self._random = np.random.RandomState(options.seed)
        self._value = calibration_images(self._random, options.resolution)
        self._tensor = INPUT
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        for end, value in (("low", as_clamp(RELU6).low), ("high", as_clamp(RELU6).high)):
            self.constant(f"relu6.{end}", np.float32(value))
        self._dialect.begin(self)

    @property
    def channels(self) -> int:
        return int(self._value.shape[1])

    @property
    def here(self) -> Branch:
        """Where the network stands."""
        return Branch(self._tensor, self._value)

    def go_to(self, branch: Branch) -> None:
        """The next layer reads the tensor of a branch."""
        self._tensor, self._value = branch.tensor, branch.value

    def conv_bn_relu6(self, name: str, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """A convolution padded by half its kernel, its normalisation and a clamp to [0, 6]."""
        self.conv_bn(name, channels, kernel, stride, groups)
        self._dialect.relu6(self, f"{name}.relu6")
        self._value = RELU6.evaluate((self._value,))

    def conv_bn(self, name: str, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """A convolution padded by half its kernel, and its normalisation."""
        op = _convolution(kernel, stride, kernel // 2, groups)
        weight = self._weights(channels, op)
        self._convolve(f"{name}.conv", op, [weight, np.zeros(channels)], ("weight",))
        self._batch_normalization(f"{name}.bn")

    def conv_relu(self, name: str, channels: int, kernel: int, stride: int = 1, pad: int = 0) -> None:
        """A convolution with bias, such that its results are normalised, and a clamp from 0."""
        op = _convolution(kernel, stride, pad)
        weight = self._weights(channels, op)
        mean, variance = channel_statistics(self._computed(op, [self._value], [weight, np.zeros(channels)]))
        scale, shift = self._affine(channels)
        factor = scale / np.sqrt(variance)
        scaled = (weight * factor[:, None, None, None]).astype(np.float32)
        self._convolve(
            f"{name}.conv", op, [scaled, (shift - mean * factor).astype(np.float32)], ("weight", "bias")
        )
        self.relu(f"{name}.relu")

    def relu(self, name: str) -> None:
        """A clamp from 0."""
        self.node("Relu", name)
        self._value = RELU.evaluate((self._value,))

    def max_pool(self, name: str, kernel: int, stride: int, pad: int = 0, ceil: bool = False) -> None:
        """The maximum over windows; `ceil` lets the last ones reach beyond the plane."""
        size = self._value.shape[2]
        beyond = -(size + 2 * pad - kernel) % stride if ceil else 0
        pads = (pad, pad, pad + beyond, pad + beyond)
        attributes: Attributes = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "ceil_mode": int(ceil),
        }
        self._dialect.window(self, "MaxPool", name, [], (pad,) * 4, attributes)
        op = Pool2d("max", (kernel, kernel), (stride, stride), pads)
        self._value = self._computed(op, [self._value])

    def add(self, name: str, other: Branch) -> None:
        """The sum of a branch and the last layer."""
        self.node("Add", name, [other.tensor])
        self._value = self._computed(Map(Operand(0) + Operand(1)), [self._value, other.value])

    def concat(self, name: str, first: Branch) -> None:
        """The channels of a branch, and behind them those of the last layer."""
        last = self.here
        self.go_to(first)
        self.node("Concat", name, [last.tensor], {"axis": 1})
        self._value = self._computed(Concat(1), [first.value, last.value])

    def global_average_pool(self, name: str) -> None:
        """The mean of each channel, and its flattening to a vector."""
        self._dialect.global_average(self, name)
        self._value = self._value.mean(axis=(2, 3))

    def classifier(self, name: str) -> None:
        """A fully connected layer with an output per class, and softmax if the options ask for it."""
        inputs, classes = self.channels, self.options.classes
        weight = self._normal((classes, inputs), np.sqrt(1.0 / inputs))
        self._dialect.matrix(self, name, weight, self._normal((classes,), 0.1))
        self.softmax(f"{name}.softmax")

    def softmax(self, name: str) -> None:
        """Probabilities, if the options ask for them."""
        if self.options.softmax:
            self.node("Softmax", name, attributes={"axis": -1})

    def model(self) -> ModelProto:
        """The finished model; the last layer's output is named `output`."""
        self._nodes[-1].output[0] = OUTPUT
        shape = self._dialect.input_shape(self.options.resolution)
        used = {tensor for node in self._nodes for tensor in node.input}
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (1, self.options.classes))],
            [tensor for tensor in self._initializers if tensor.name in used],
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="explore-edge zoo"
        )

    def constant(self, name: str, value: Array | np.float32) -> str:
        """Adds an initializer: integers as they are, all else as float32."""
        array = np.asarray(value)
        dtype = array.dtype if array.dtype.kind == "i" else np.dtype(np.float32)
        self._initializers.append(numpy_helper.from_array(np.asarray(array, dtype=dtype, order="C"), name))
        return name

    def node(
        self,
        op_type: str,
        name: str,
        constants: Sequence[str] = (),
        attributes: Attributes | None = None,
    ) -> None:
        """Appends a node that reads what the last one wrote, and then the tensors named."""
        output = f"{name}.output"
        node = helper.make_node(op_type, [self._tensor, *constants], [output], name=name)
        pairs = sorted((attributes or {}).items())
        node.attribute.extend(helper.make_attribute(key, value) for key, value in pairs)
        self._nodes.append(node)
        self._tensor = output

    def _convolve(self, name: str, op: Conv2d, weights: Sequence[Array], roles: Sequence[str]) -> None:
        """The roles that have a constant of their own; without a bias it is 0."""
        value = self._computed(op, [self._value], weights)
        constants = [
            self.constant(f"{name}.{role}", weight) for role, weight in zip(roles, weights, strict=False)
        ]
        attributes: Attributes = {
            "kernel_shape": list(op.kernel),
            "strides": list(op.strides),
            "dilations": [1, 1],
            "group": op.groups,
        }
        self._dialect.window(self, "Conv", name, constants, op.pads, attributes)
        self._value = value

    def _batch_normalization(self, name: str) -> None:
        mean, variance = channel_statistics(self._value)
        scale, bias = self._affine(self.channels)
        values: dict[str, Array] = {
            "weight": scale,
            "bias": bias,
            "running_mean": mean,
            "running_var": variance,
        }
        constants = [self.constant(f"{name}.{role}", value) for role, value in values.items()]
        self.node("BatchNormalization", name, constants, {"epsilon": EPSILON, "momentum": 0.9})
        self._value = self._computed(BatchNormalization(EPSILON), [self._value], list(values.values()))

    def _computed(self, op: Operator, inputs: Sequence[Doubles], weights: Sequence[Array] = ()) -> Doubles:
        arrays = [np.asarray(weight, dtype=np.float64) for weight in weights]
        outputs = op.infer(list(map(type_of, inputs)), list(map(type_of, arrays)), ())
        return op.evaluate(inputs, arrays, outputs)[0]

    def _affine(self, channels: int) -> tuple[Array, Array]:
        """Factors and offsets of a normalisation."""
        scale = self._random.uniform(0.8, 1.2, channels).astype(np.float32)
        return scale, self._random.uniform(-0.2, 0.6, channels).astype(np.float32)

    def _weights(self, channels: int, op: Conv2d) -> Array:
        shape = (channels, self.channels // op.groups, *op.kernel)
        return self._normal(shape, np.sqrt(2.0 / np.prod(shape[1:])))  # He et al. 2015

    def _normal(self, shape: tuple[int, ...], deviation: float) -> Array:
        return (self._random.standard_normal(shape) * deviation).astype(np.float32)


def _convolution(kernel: int, stride: int, pad: int, groups: int = 1) -> Conv2d:
    return Conv2d((kernel, kernel), (stride, stride), (pad, pad, pad, pad), groups=groups)
