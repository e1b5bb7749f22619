"""Writes a network node by node as exporters do, while a batch of images flows through it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codegen.graph import Activation, Array, BatchNormalization, Conv2d, Operator, TensorType
from codegen.reference import Doubles, clamp, compute
from codegen.shapes import infer_shape
from codegen.zoo.calibration import calibration_images, channel_statistics
from codegen.zoo.registry import Options

OPSET = 17
IR_VERSION = 8
EPSILON = 1e-5
RELU6 = Activation(0.0, 6.0)
INPUT, OUTPUT = "input", "output"

Attributes = dict[str, int | float | list[int]]


class NetworkWriter:
    """A straight network of one input (1, 3, R, R); each method appends a layer behind the last."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        # RandomState's streams are frozen for ever (NEP 19), those of numpy's newer generators are not.
        self._random = np.random.RandomState(options.seed)
        self._value = calibration_images(self._random, options.resolution)
        self._tensor = INPUT
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        for end in ("low", "high"):
            self._constant(f"relu6.{end}", np.float32(getattr(RELU6, end)))

    @property
    def channels(self) -> int:
        return int(self._value.shape[1])

    def conv_bn_relu6(self, name: str, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """A convolution padded by half its kernel, its normalisation and a clamp to [0, 6]."""
        shape = (channels, self.channels // groups, kernel, kernel)
        weight = self._normal(shape, np.sqrt(2.0 / np.prod(shape[1:])))  # He et al. 2015
        pad = kernel // 2
        op = Conv2d((kernel, kernel), (stride, stride), (pad, pad, pad, pad), groups=groups)
        value = self._computed(op, [weight, np.zeros(channels)])
        attributes: Attributes = {
            "kernel_shape": [kernel, kernel],
            "strides": [stride, stride],
            "pads": [pad] * 4,
            "dilations": [1, 1],
            "group": groups,
        }
        self._node("Conv", f"{name}.conv", [self._constant(f"{name}.conv.weight", weight)], attributes)
        self._value = value
        self._batch_normalization(f"{name}.bn")
        self._node("Clip", f"{name}.relu6", ["relu6.low", "relu6.high"])
        self._value = clamp(self._value, RELU6)

    def global_average_pool(self, name: str) -> None:
        """The mean of each channel, and its flattening to a vector."""
        self._node("GlobalAveragePool", name)
        self._node("Flatten", f"{name}.flatten", attributes={"axis": 1})
        self._value = self._value.mean(axis=(2, 3))

    def classifier(self, name: str) -> None:
        """A fully connected layer with an output per class, and softmax if the options ask for it."""
        inputs, classes = self.channels, self.options.classes
        weight = self._normal((classes, inputs), np.sqrt(1.0 / inputs))
        bias = self._normal((classes,), 0.1)
        constants = [self._constant(f"{name}.weight", weight), self._constant(f"{name}.bias", bias)]
        self._node("Gemm", name, constants, {"alpha": 1.0, "beta": 1.0, "transB": 1})
        if self.options.softmax:
            self._node("Softmax", f"{name}.softmax", attributes={"axis": -1})

    def model(self) -> ModelProto:
        """The finished model; the last layer's output is named `output`."""
        self._nodes[-1].output[0] = OUTPUT
        resolution = self.options.resolution
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (1, 3, resolution, resolution))],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (1, self.options.classes))],
            self._initializers,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="explore-edge zoo"
        )

    def _batch_normalization(self, name: str) -> None:
        mean, variance = channel_statistics(self._value)
        scale = self._random.uniform(0.8, 1.2, self.channels).astype(np.float32)
        bias = self._random.uniform(-0.2, 0.6, self.channels).astype(np.float32)
        values: dict[str, Array] = {
            "weight": scale,
            "bias": bias,
            "running_mean": mean,
            "running_var": variance,
        }
        constants = [self._constant(f"{name}.{role}", value) for role, value in values.items()]
        self._node("BatchNormalization", name, constants, {"epsilon": EPSILON, "momentum": 0.9})
        self._value = self._computed(BatchNormalization(EPSILON), list(values.values()))

    def _computed(self, op: Operator, weights: Sequence[Array]) -> Doubles:
        arrays = [np.asarray(weight, dtype=np.float64) for weight in weights]
        shape = infer_shape(op, [self._value.shape], [array.shape for array in arrays], ())
        return compute(op, [self._value], arrays, TensorType(shape))

    def _normal(self, shape: tuple[int, ...], deviation: float) -> Array:
        return (self._random.standard_normal(shape) * deviation).astype(np.float32)

    def _constant(self, name: str, value: Array | np.float32) -> str:
        self._initializers.append(numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))
        return name

    def _node(
        self,
        op_type: str,
        name: str,
        constants: Sequence[str] = (),
        attributes: Attributes | None = None,
    ) -> None:
        output = f"{name}.output"
        node = helper.make_node(op_type, [self._tensor, *constants], [output], name=name)
        pairs = sorted((attributes or {}).items())
        node.attribute.extend(helper.make_attribute(key, value) for key, value in pairs)
        self._nodes.append(node)
        self._tensor = output
