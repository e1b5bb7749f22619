"""The layers on which every registered algorithm is tested: each takes those to which it applies.

Numbers of channels and pixels leave padding in blocks and lines, and remainders in tiles.
"""

from __future__ import annotations

from codegen.expression import RELU, RESULT, Operand, apply, clamp, less, maximum
from codegen.graph import LayerSpec
from codegen.operators.bit_cast import BitCast
from codegen.operators.compress import Compress
from codegen.operators.concat import Concat
from codegen.operators.contraction import Contraction
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_nd import ConvNd
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.deform_conv import DeformConv
from codegen.operators.determinant import Determinant
from codegen.operators.elementwise import EXPRESSIONS, Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.grid_sample import GridSample
from codegen.operators.indexing import Gather, ScatterElements
from codegen.operators.interpolation import Interpolation
from codegen.operators.literal import Literal
from codegen.operators.non_max_suppression import NonMaxSuppression
from codegen.operators.non_zero import NonZero
from codegen.operators.pairwise_coupling import PairwiseCoupling
from codegen.operators.pool2d import Pool2d
from codegen.operators.pool_nd import PoolNd
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.operators.quantized_pool2d import QuantizedPool2d
from codegen.operators.recurrent import Recurrent
from codegen.operators.reduction import AlongAxis, ArgReduce, Cumulative, Reduce, TopK
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.roi_align import RoiAlign
from codegen.operators.softmax import Softmax
from codegen.operators.split import Split
from codegen.operators.transpose import Transpose
from codegen.operators.typed_map import TypedMap
from codegen.operators.unique import Unique
from codegen.requantization import requantized
from codegen.target import Target
from codegen.tensor import TensorType
from tests.codegen.layer_forms import (
    RELU6,
    SAME,
    and_its_sum,
    and_sum,
    chain,
    expanded,
    pruned,
    quantized,
    rows_of,
    scaled_concat,
    separable,
    stem,
    stem_depthwise,
    with_residual,
)
from tests.codegen.layers import convolution, inferred_layer, sum_of_two
from tests.codegen.pairs import candidate, pair_spec

_SPARSE = pruned(convolution(37, 53, (6, 7), Conv2d((1, 1), epilogue=RELU6)), 0.2)
X, Y = Operand(0), Operand(1)
_PI = Target("pi-zero", 12, "arm1176jzf-s", (), 1)
LAYERS: dict[str, LayerSpec] = {
    "odd planes of two images, many channels": inferred_layer(
        Conv2d((1, 1), epilogue=RELU6), (2, 96, 5, 7), weights=((160, 96, 1, 1), (160,))
    ),
    "side by side": pair_spec(
        candidate("qpu_pointwise_relayed", convolution(24, 40, (11, 13), Conv2d((1, 1), epilogue=RELU)), _PI),
        candidate("qpu_pool_rows", inferred_layer(Pool2d("max", (3, 3), pads=SAME), (1, 20, 13, 11)), _PI),
    ),
    "strided tiles": convolution(10, 49, (27, 28), Conv2d((3, 3), (2, 2), SAME, epilogue=RELU)),
    "strided tiles of two images and a sum": with_residual(
        inferred_layer(Conv2d((3, 3), (2, 2), (0, 1, 2, 0)), (2, 6, 13, 14), weights=((35, 6, 3, 3), (35,))),
        clamp(EXPRESSIONS["Elu"](X) + Y, -1.0, 6.0),
    ),
    "bytes": quantized(
        QuantizedConv2d(
            (1, 1), zero=3, epilogue=requantized(maximum(RESULT, -20.0), 7, "uint8"), dtype="uint8"
        ),
        TensorType((1, 22, 3, 5), "uint8"),
        21,
    ),
    "bytes between borders": quantized(
        QuantizedConv2d((3, 3), (2, 1), SAME, zero=-4, epilogue=requantized(RESULT, 0, "int8"), dtype="int8"),
        TensorType((2, 3, 7, 9), "int8"),
        5,
    ),
    "bytes and a residual": quantized(
        QuantizedConv2d(
            (3, 1),
            epilogue=requantized(RESULT * 0.5 + Operand(1) * 0.25, 2, "uint8"),
            dtype="uint8",
        ),
        TensorType((1, 9, 6, 4), "uint8"),
        18,
        TensorType((1, 18, 4, 4), "uint8"),
    ),
    "bytes of whole windows": quantized(
        QuantizedConv2d(
            (3, 3), (1, 1), SAME, zero=9, epilogue=requantized(RESULT, 7, "uint8"), dtype="uint8"
        ),
        TensorType((2, 9, 9, 14), "uint8"),
        10,
    ),
    "bytes of each channel": quantized(
        QuantizedConv2d(
            (3, 3), (1, 1), SAME, groups=19, zero=3, epilogue=requantized(RESULT, 7, "uint8"), dtype="uint8"
        ),
        TensorType((1, 19, 6, 7), "uint8"),
        19,
    ),
    "floats to bytes": inferred_layer(
        TypedMap(requantized(Operand(0) / 0.02, 128, "uint8"), "float32", "uint8"), (1, 3, 5, 6)
    ),
    "sum of two of bytes": inferred_layer(
        TypedMap(requantized(Operand(0) * 0.5 + Operand(1) * 0.3, 2, "int8"), "float32", "int8"),
        TensorType((1, 9, 3, 5), "int8"),
        TensorType((1, 9, 3, 5), "uint8"),
    ),
    "largest of bytes": inferred_layer(
        Pool2d("max", (3, 3), (2, 2), SAME), TensorType((1, 9, 7, 6), "uint8")
    ),
    "average of bytes": inferred_layer(
        QuantizedPool2d((7, 6), zero=2, epilogue=requantized(RESULT * 0.024, 2, "uint8"), dtype="uint8"),
        TensorType((1, 9, 7, 6), "uint8"),
    ),
    "sums of bytes": quantized(QuantizedConv2d((2, 2), dtype="int32"), TensorType((1, 4, 5, 5), "uint8"), 6),
    "bytes to blocks": inferred_layer(Relayout("nchw", "channel4"), TensorType((1, 6, 3, 7), "uint8")),
    "bytes behind each other": inferred_layer(
        Concat(1), TensorType((1, 6, 3, 2), "uint8"), TensorType((1, 4, 3, 2), "uint8")
    ),
    "view of bytes": inferred_layer(
        Reshape(), TensorType((1, 6, 3, 2), "uint8"), declared=TensorType((1, 6, 6, 1), "uint8")
    ),
    "sparse pointwise": _SPARSE,
    "sparse pointwise behind depthwise": chain(
        convolution(37, 37, (12, 14), Conv2d((3, 3), (2, 2), SAME, groups=37, epilogue=RELU6)), _SPARSE
    ),
    "sparse pointwise behind dilated depthwise": chain(
        convolution(6, 6, (9, 37), Conv2d((3, 5), (1, 2), (2, 1, 2, 3), (2, 1), groups=6)),
        pruned(convolution(6, 21, (9, 19), Conv2d((1, 1))), 0.4),
    ),
    "sparse pointwise before depthwise": chain(
        pruned(convolution(10, 30, (9, 12), Conv2d((1, 1), epilogue=RELU)), 0.2),
        convolution(30, 30, (9, 12), Conv2d((3, 3), (1, 1), SAME, groups=30)),
    ),
    "sparse windows by blocks": pruned(
        convolution(9, 31, (8, 9), Conv2d((3, 3), (2, 1), (1, 0, 2, 1), (1, 2), epilogue=RELU)), 0.3, 4
    ),
    "sparse fully connected": pruned(
        inferred_layer(FullyConnected(RELU), (2, 45), weights=((37, 45), (37,))), 0.2
    ),
    "sparse, many operands": pruned(convolution(300, 20, (3, 3), Conv2d((1, 1))), 0.1),
    "residual": with_residual(convolution(7, 41, (7, 8), Conv2d((1, 1))), X + Y),
    "residual of two images in groups": with_residual(
        inferred_layer(Conv2d((1, 1), groups=2), (2, 16, 7, 13), weights=((68, 8, 1, 1), (68,))),
        RELU.substitute((X + Y,)),
    ),
    "residual behind an activation": with_residual(
        convolution(6, 29, (6, 7), Conv2d((3, 3), (1, 1), SAME)),
        RELU.substitute((Y + EXPRESSIONS["Elu"](X),)),
    ),
    "residual of two images": with_residual(
        inferred_layer(Conv2d((1, 1)), (2, 12, 5, 8), weights=((27, 12, 1, 1), (27,))), X + Y
    ),
    "residual of groups": with_residual(
        convolution(12, 54, (6, 7), Conv2d((3, 3), (2, 2), SAME, groups=2)), RELU.substitute((X + Y,))
    ),
    "chain with an addition": and_sum(convolution(8, 43, (7, 9), Conv2d((1, 1))), (-1, 1)),
    "chain with its own input": and_sum(
        convolution(24, 24, (7, 6), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU6)), (0, -1), RELU
    ),
    "tiles of two images and a sum": with_residual(
        inferred_layer(Conv2d((3, 3), pads=SAME), (2, 9, 14, 18), weights=((35, 9, 3, 3), (35,))),
        clamp(X + Y, 0.0, 6.0),
    ),
    "tiles and their own input": and_sum(
        convolution(33, 33, (17, 19), Conv2d((3, 3), (1, 1), SAME, epilogue=EXPRESSIONS["Elu"](X))), (-1, 0)
    ),
    "two images of three planes": inferred_layer(
        Conv2d((7, 7), (2, 2), (3, 3, 3, 3), epilogue=RELU), (2, 3, 13, 45), weights=((40, 3, 7, 7), (40,))
    ),
    "planes by lines": convolution(2, 37, (9, 32), Conv2d((5, 5), (1, 1), (2, 2, 2, 2), epilogue=RELU6)),
    "borders wider than windows": convolution(
        4, 33, (6, 37), Conv2d((3, 2), (1, 3), (4, 0, 3, 1), epilogue=EXPRESSIONS["HardSwish"](X))
    ),
    "stem": stem((1, 3, 21, 30), 20, Conv2d((3, 3), (2, 2), epilogue=RELU), Pool2d("max", (3, 3), (2, 2))),
    "stem of two images, padded": stem(
        (2, 1, 12, 19),
        33,
        Conv2d((3, 3), (1, 1), SAME, epilogue=clamp(RESULT, -0.5, 0.7)),
        Pool2d("max", (3, 3), (2, 2), SAME),
    ),
    "stem of two channels": stem(
        (1, 2, 9, 13), 16, Conv2d((2, 3), (1, 2), (1, 0, 0, 2)), Pool2d("max", (2, 2), (2, 1), (0, 1, 1, 0))
    ),
    "stem of many taps": stem(
        (1, 3, 23, 46),
        40,
        Conv2d((7, 7), (2, 2), (3,) * 4, epilogue=RELU),
        Pool2d("max", (3, 3), (2, 2), SAME),
    ),
    "stem of many taps, two images": stem(
        (2, 2, 17, 41), 33, Conv2d((3, 7), (2, 2), (1, 3, 1, 3)), Pool2d("max", (2, 3), (3, 2), (0, 0, 1, 1))
    ),
    "stem with a depthwise behind": stem_depthwise((1, 3, 24, 64), 16, (0, 0, 1, 1)),
    "stem with a depthwise behind, two images": stem_depthwise(
        (2, 1, 45, 74), 11, (1, 1, 0, 0), RELU, EXPRESSIONS["HardSwish"](X)
    ),
    "scaled concatenation": scaled_concat(1, (9, 4, 18), RELU),
    "scaled concatenation of two images, one twice": scaled_concat(
        2, (5, 17), apply("tanh", RESULT), twice=True
    ),
    "separable": separable(
        9, 33, (1, 11, 17), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU6), Conv2d((1, 1), epilogue=RELU6)
    ),
    "separable, halved": separable(
        10, 26, (1, 10, 33), Conv2d((3, 3), (2, 2), (0, 0, 1, 1), epilogue=RELU), Conv2d((1, 1))
    ),
    "separable of two images and a sum": and_its_sum(
        separable(7, 25, (2, 6, 15), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU6), Conv2d((1, 1))), 1
    ),
    "separable with its own input": and_its_sum(
        separable(
            24, 24, (1, 27, 29), Conv2d((3, 3), (1, 1), SAME), Conv2d((1, 1), epilogue=EXPRESSIONS["Elu"](X))
        ),
        0,
    ),
    "expanded, two images": expanded(20, 37, (2, 7, 9), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU6)),
    "expanded, halved": expanded(
        9, 35, (1, 10, 33), Conv2d((3, 3), (2, 2), (0, 0, 1, 1), epilogue=RELU), RELU
    ),
    "few tiles": convolution(66, 98, (5, 7), Conv2d((1, 1), epilogue=RELU6)),
    "few tiles and a sum": and_sum(convolution(66, 98, (5, 7), Conv2d((1, 1))), (-1, 1), RELU),
    "few tiles of windows": convolution(12, 98, (5, 7), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU6)),
    "grouped by fours": convolution(20, 30, (6, 7), Conv2d((3, 3), (2, 1), SAME, groups=5, epilogue=RELU)),
    "grouped, many channels": convolution(70, 54, (5, 6), Conv2d((3, 3), (1, 1), SAME, groups=2)),
    "grouped pointwise": convolution(27, 36, (7, 5), Conv2d((1, 1), groups=3, epilogue=RELU6)),
    "pointwise, many channels": convolution(98, 33, (3, 8), Conv2d((1, 1), epilogue=RELU6)),
    "pointwise, odd depth": convolution(19, 45, (7, 8), Conv2d((1, 1), epilogue=RELU6)),
    "windows, odd depth": convolution(11, 26, (9, 8), Conv2d((3, 3), (2, 1), SAME, epilogue=RELU)),
    "windows of three channels": convolution(3, 24, (9, 10), Conv2d((3, 3), (2, 2), SAME, epilogue=RELU)),
    "windows in two passes": convolution(64, 24, (5, 7), Conv2d((1, 3), (1, 1), (0, 1, 0, 1), epilogue=RELU)),
    "to two channels": convolution(19, 2, (7, 8), Conv2d((1, 1), epilogue=RELU)),
    "one channel": convolution(1, 13, (9, 8), Conv2d((3, 5), (1, 2), (1, 2, 1, 2), epilogue=RELU)),
    "multiplied channels": convolution(6, 18, (7, 6), Conv2d((3, 3), (1, 1), SAME, groups=6)),
    "depthwise, 5x5": convolution(
        9, 9, (8, 11), Conv2d((5, 5), (2, 1), (2, 2, 1, 2), groups=9, epilogue=RELU6)
    ),
    "depthwise, dilated 7x7": convolution(
        3, 3, (9, 8), Conv2d((7, 7), (1, 2), (6, 6, 6, 6), (2, 2), groups=3)
    ),
    "depthwise, wide": convolution(6, 6, (4, 21), Conv2d((2, 14), (1, 1), (0, 7, 1, 6), groups=6)),
    "maximum, 5x5": inferred_layer(Pool2d("max", (5, 5), (1, 2), (2, 2, 2, 2)), (1, 10, 7, 9)),
    "maximum of one channel": inferred_layer(
        Pool2d("max", (4, 15), (3, 2), (1, 5, 2, 5), (1, 2)), (1, 1, 9, 21)
    ),
    "average, 5x6": inferred_layer(Pool2d("average", (5, 6), (2, 3), (1, 4, 3, 2)), (1, 6, 7, 8)),
    "global maximum": inferred_layer(Pool2d("max", (5, 6), epilogue=RELU), (1, 18, 5, 6)),
    "mean with two kinds of padding": inferred_layer(
        PoolNd("average", (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), (4, 3), counts_pads=True), (1, 5, 6, 5)
    ),
    "convolution of two images": inferred_layer(
        Conv2d((3, 3), (1, 1), SAME, groups=2, epilogue=RELU),
        (2, 8, 5, 6),
        weights=((16, 4, 3, 3), (16,)),
    ),
    "pointwise, two images": inferred_layer(
        Conv2d((1, 1), epilogue=RELU), (2, 9, 5, 7), weights=((8, 9, 1, 1), (8,))
    ),
    "depthwise, three images": inferred_layer(
        Conv2d((3, 3), (1, 1), SAME, groups=5), (3, 5, 5, 6), weights=((5, 1, 3, 3), (5,))
    ),
    "average of two images": inferred_layer(Pool2d("average", (2, 3)), (2, 5, 6, 5)),
    "global average, two images": inferred_layer(Pool2d("average", (3, 5)), (2, 21, 3, 5)),
    "global maximum, two images": inferred_layer(Pool2d("max", (3, 5)), (2, 21, 3, 5)),
    "fully connected, three images": inferred_layer(FullyConnected(RELU), (3, 21), weights=((19, 21), (19,))),
    "scaled channels of two images": inferred_layer(
        Map(Operand(0) * Operand(1) + Operand(2)), (2, 9, 3, 7), (2, 9, 1, 1), (9, 1, 1)
    ),
    "channels of two images": inferred_layer(Concat(), (2, 9, 3, 5), (2, 4, 3, 5)),
    "pointwise": convolution(5, 26, (9, 7), Conv2d((1, 1), epilogue=RELU6)),
    "pointwise, two channels": convolution(2, 16, (5, 13), Conv2d((1, 1))),
    "first layer": convolution(3, 12, (15, 13), Conv2d((3, 3), (2, 2), (0, 0, 1, 1), epilogue=RELU6)),
    "same padding": convolution(4, 17, (8, 9), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU)),
    "tiles of two and of four": convolution(19, 23, (19, 22), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU)),
    "tiles of two images": inferred_layer(
        Conv2d((3, 3), (1, 1), (0, 1, 2, 0), epilogue=RELU6), (2, 4, 13, 14), weights=((21, 4, 3, 3), (21,))
    ),
    "tiles by channels": convolution(3, 35, (15, 18), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU)),
    "products of matrices": inferred_layer(Contraction(("bik", "bkj"), "bij"), (2, 25, 48), (2, 48, 39)),
    "rows of several by one matrix": inferred_layer(Contraction(("kj", "bik"), "bij"), (32, 33), (3, 9, 32)),
    "fully connected, many rows": inferred_layer(FullyConnected(RELU6), (29, 32), weights=((45, 32), (45,))),
    "many rows of an odd length": inferred_layer(FullyConnected(RELU6), (29, 53), weights=((45, 53), (45,))),
    "fully connected, a few rows": inferred_layer(FullyConnected(RELU6), (5, 48), weights=((45, 48), (45,))),
    "unfolded, two images": inferred_layer(
        Conv2d((3, 2), (2, 1), (1, 0, 2, 1), (1, 2), epilogue=RELU),
        (2, 5, 11, 9),
        weights=((37, 5, 3, 2), (37,)),
    ),
    "unfolded, and its input": and_sum(
        convolution(33, 33, (5, 6), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU6)), (-1, 0), RELU
    ),
    "many channels": convolution(18, 21, (7, 6), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU)),
    "dilated, wide": convolution(2, 8, (12, 11), Conv2d((3, 5), (1, 2), (2, 4, 2, 4), (2, 2))),
    "strided pointwise": convolution(3, 8, (9, 9), Conv2d((1, 1), (2, 2))),
    "grouped": convolution(6, 4, (7, 9), Conv2d((3, 3), (1, 1), SAME, groups=2, epilogue=RELU)),
    "depthwise": convolution(20, 20, (10, 9), Conv2d((3, 3), (1, 1), SAME, groups=20, epilogue=RELU6)),
    "depthwise, strided": convolution(16, 16, (11, 12), Conv2d((3, 3), (2, 2), (0, 0, 1, 1), groups=16)),
    "depthwise of two images": inferred_layer(
        Conv2d((5, 5), (1, 1), (2, 2, 2, 2), groups=19, epilogue=RELU6),
        (2, 19, 5, 16),
        weights=((19, 1, 5, 5), (19,)),
    ),
    "depthwise, 2x2": convolution(9, 9, (6, 6), Conv2d((2, 2), groups=9)),
    "transposed": inferred_layer(
        ConvTranspose2d((3, 3), (2, 2), SAME, (1, 1), epilogue=RELU),
        (1, 5, 6, 7),
        weights=((6, 5, 3, 3), (6,)),
    ),
    "maximum": inferred_layer(Pool2d("max", (3, 3), (2, 2), SAME), (1, 9, 13, 13)),
    "maximum, clamped": inferred_layer(Pool2d("max", (2, 2), (2, 2), epilogue=RELU6), (1, 7, 8, 7)),
    "average": inferred_layer(Pool2d("average", (3, 3), (2, 2), SAME), (1, 9, 13, 13)),
    "average with padding": inferred_layer(
        Pool2d("average", (2, 2), (2, 2), (1, 1, 0, 0), include_padding=True), (1, 9, 7, 7)
    ),
    "global average": inferred_layer(Pool2d("average", (7, 7)), (1, 42, 7, 7)),
    "global average, few pixels": inferred_layer(Pool2d("average", (1, 3)), (1, 16, 1, 3)),
    "fully connected, few outputs": inferred_layer(FullyConnected(RELU), (2, 21), weights=((5, 21), (5,))),
    "fully connected": inferred_layer(FullyConnected(RESULT), (1, 26), weights=((37, 26), (37,))),
    "fully connected, clamped": inferred_layer(FullyConnected(RELU), (1, 24), weights=((21, 24), (21,))),
    "sum": inferred_layer(sum_of_two(RELU), *((1, 21, 6, 7),) * 2),
    "sum of vectors": inferred_layer(sum_of_two(), *((1, 83),) * 2),
    "expression": inferred_layer(Map(EXPRESSIONS["HardSwish"](Operand(0))), (1, 9, 5, 7)),
    "exponentials": inferred_layer(Map(apply("exp", Operand(0)) - Operand(1)), *((1, 9, 5, 7),) * 2),
    "scaled channels": inferred_layer(Map(Operand(0) * Operand(1)), (1, 9, 5, 7), (1, 9, 1, 1)),
    "scaled, two channels": inferred_layer(Map(Operand(0) * Operand(1)), (1, 2, 5, 7), (1, 2, 1, 1)),
    "broadcast rows": inferred_layer(
        Map(Operand(0) * Operand(1) + Operand(2)), (3, 5, 7), (3, 5, 1), weights=((5, 7),)
    ),
    "broadcast to what neither is": inferred_layer(Map(Operand(0) - Operand(1)), (3, 1, 16), (2, 1)),
    "a few words": inferred_layer(TypedMap(abs(Operand(0)), "float32", "float32"), (3, 2)),
    "words of few lines": inferred_layer(Map(EXPRESSIONS["HardSwish"](Operand(0))), (3, 4, 3)),
    "channels of three": inferred_layer(Concat(), (1, 9, 6, 5), (1, 16, 6, 5), (1, 36, 6, 5)),
    "softmax": inferred_layer(Softmax(1), (1, 37)),
    "transposition": inferred_layer(Transpose((0, 2, 3, 1)), (1, 5, 6, 7)),
    "reshape": inferred_layer(Reshape(), (1, 5, 3, 7), declared=(1, 105)),
    "parts": inferred_layer(Split(1, (3, 5, 9)), (1, 17, 4, 3)),
    "to lines of pixels": inferred_layer(Relayout("nchw", "pixel16"), (1, 7, 5, 7)),
    "from lines of pixels": inferred_layer(Relayout("pixel16", "nchw"), (1, 7, 5, 7)),
    "to blocks of channels": inferred_layer(Relayout("nchw", "channel4"), (1, 7, 5, 7)),
    "from blocks of channels": inferred_layer(Relayout("channel4", "nchw"), (1, 7, 5, 7)),
    "constant": inferred_layer(Literal(), weights=((3, 5),)),
    "in other types": inferred_layer(
        TypedMap(less(Operand(0), Operand(1)), "float32", "bool"), (2, 1, 5), (4, 1)
    ),
    "selected": inferred_layer(rows_of((4, 3, 5), [2, 0, -1, 2]), (4, 3, 5)),
    "turned integers": inferred_layer(Transpose((1, 0)), TensorType((3, 7), "int16")),
    "gathered": inferred_layer(Gather(1), (3, 4, 5), TensorType((2, 3), "int64")),
    "scattered": inferred_layer(
        ScatterElements(0, "add"), (4, 5), TensorType((3, 5), "int64"), TensorType((3, 5))
    ),
    "interpolated": inferred_layer(
        Interpolation(
            ((0, 1), (1, 2), (2, 1)),
            ((0.75, 0.25), (0.5, 0.5), (1.0, 0.0)),
            tuple((x // 2, min(x // 2 + 1, 5)) for x in range(11)),
            ((0.625, 0.375),) * 11,
        ),
        (1, 9, 3, 6),
    ),
    "reduced": inferred_layer(Reduce("log_sum_exp", (0, 2), False), (3, 4, 5)),
    "largest over axes": inferred_layer(Reduce("max", (1,), True), (3, 4, 5)),
    "means of planes": inferred_layer(Reduce("mean", (2, 3), True), (2, 7, 5, 9)),
    "largest over channels": inferred_layer(Reduce("max", (1,), True), (2, 9, 3, 7)),
    "norms over all": inferred_layer(Reduce("l2", (0, 1), False), (5, 23)),
    "sums over the first axis": inferred_layer(Reduce("sum", (0,), True), (19, 3, 11)),
    "products over rows": inferred_layer(Reduce("prod", (2,), False), (2, 5, 6)),
    "softmax of channels": inferred_layer(Softmax(1), (2, 21, 3, 7)),
    "softmax of rows": inferred_layer(AlongAxis("softmax", 2), (2, 3, 50)),
    "logarithms of softmax in the middle": inferred_layer(AlongAxis("log_softmax", 1), (2, 19, 5)),
    "place of the least": inferred_layer(ArgReduce(1, True, False, True), (3, 4, 5)),
    "running products": inferred_layer(Cumulative("prod", 1, True, True), (3, 4, 2)),
    "largest in order": inferred_layer(TopK(1, 3), (2, 7, 3)),
    "logarithms of softmax": inferred_layer(AlongAxis("log_softmax", 0), (5, 3)),
    "scores of attention": inferred_layer(
        Contraction(("bhik", "bhjk"), "bhij"), (1, 2, 25, 19), (1, 2, 37, 19)
    ),
    "weighted values": inferred_layer(Contraction(("bhik", "bhkj"), "bhij"), (1, 2, 25, 37), (1, 2, 37, 33)),
    "products of batches": inferred_layer(Contraction(("bhik", "bhjk"), "bhij"), (2, 3, 7, 8), (2, 3, 19, 8)),
    "products along diagonals": inferred_layer(Contraction(("iik", "kj"), "jik"), (5, 5, 3), (3, 4)),
    "products": inferred_layer(Contraction(("abc", "dcb"), "ad"), (3, 4, 5), (2, 5, 4)),
    "in three dimensions": inferred_layer(
        ConvNd((2, 3, 1), (1, 2, 1), (1, 1, 1), (1, 0, 0), (3, 2, 2), 2), (1, 4, 3, 5, 2), (6, 2, 2, 3, 1)
    ),
    "transposed in one": inferred_layer(ConvNd((3,), (2,), (1,), (1,), (8,), 1, True), (2, 3, 4), (3, 2, 3)),
    "pool in one": inferred_layer(PoolNd("max", (3,), (2,), (1,), (1,), (1,), (3,), places=1), (2, 3, 5)),
    "mean in one": inferred_layer(
        PoolNd("average", (3,), (2,), (1,), (1,), (1,), (4,), counts_pads=True), (2, 3, 6)
    ),
    "recurrent": inferred_layer(
        Recurrent("LSTM", (True,), ((("Sigmoid", 0.0, 0.0), ("Tanh", 0.0, 0.0), ("Tanh", 0.0, 0.0)),)),
        *((3, 2, 4), (1, 20, 4), (1, 20, 5), (1, 40)),
        TensorType((2,), "int32"),
        *((1, 2, 5), (1, 2, 5), (1, 15)),
    ),
    "bits": inferred_layer(BitCast("float32", "uint32"), (3, 5)),
    "coupled pairs": inferred_layer(PairwiseCoupling(), (3, 4, 4)),
    "determinants": inferred_layer(Determinant(), (3, 4, 4)),
    "moved taps": inferred_layer(
        DeformConv((2, 1), (1, 0, 1, 1), (1, 2), 2, 2, True, True),
        *((2, 4, 6, 7), (6, 2, 3, 2), (2, 24, 3, 6), (6,), (2, 12, 3, 6)),
    ),
    "sampled, nearest": inferred_layer(GridSample("nearest", "border", True), (2, 3, 5), (2, 7, 1)),
    "sampled, linear": inferred_layer(GridSample("linear", "zeros", False), (1, 2, 3, 4, 5), (1, 2, 3, 2, 3)),
    "sampled halves": inferred_layer(
        GridSample("linear", "zeros", False),
        TensorType((1, 2, 3, 4), "float16"),
        TensorType((1, 3, 2, 2), "float16"),
    ),
    "sampled, cubic": inferred_layer(GridSample("cubic", "reflection", False), (2, 3, 5, 4), (2, 3, 4, 2)),
    "regions": inferred_layer(
        RoiAlign("avg", (2, 3), 2, 1.5, True), (2, 3, 6, 5), (4, 4), TensorType((4,), "int64")
    ),
    "regions, largest": inferred_layer(
        RoiAlign("max", (2, 2), 0, 4.0, False), (2, 3, 6, 5), (4, 4), TensorType((4,), "int64")
    ),
    "places of what is not 0": inferred_layer(NonZero(), TensorType((3, 2, 5), "int8")),
    "where a condition holds": inferred_layer(Compress(1), (3, 7, 2), TensorType((6,), "bool")),
    "each once": inferred_layer(Unique(0, True), TensorType((13,), "float16")),
    "slices, each once": inferred_layer(Unique(1, False), TensorType((2, 11, 1), "int64")),
    "best boxes": inferred_layer(
        NonMaxSuppression(3, False), (2, 9, 4), (2, 2, 9), TensorType((1,), "int64"), (1,), ()
    ),
    "best boxes around centres": inferred_layer(
        NonMaxSuppression(5, True), (1, 9, 4), (1, 2, 9), TensorType((), "int64"), ()
    ),
    "chain": chain(
        convolution(5, 18, (12, 11), Conv2d((1, 1), epilogue=RELU6)),
        convolution(18, 18, (12, 11), Conv2d((3, 3), (1, 1), SAME, groups=18, epilogue=RELU6)),
        convolution(18, 7, (12, 11), Conv2d((1, 1))),
    ),
}
MOST_ERROR = 2e-5  # truncating adds of a few hundred terms
ERRORS = {
    ("cpu_blocked_winograd", "many channels"): 3e-5,  # its transforms round more
    ("qpu_map", "exponentials"): 1e-3,  # of the special function unit, as those below
    ("qpu_broadcast", "exponentials"): 1e-3,
    ("qpu_reduce", "reduced"): 1e-3,
    ("qpu_reduce", "norms over all"): 1e-3,
    ("qpu_softmax", "softmax"): 1e-3,
    ("qpu_softmax", "softmax of channels"): 1e-3,
    ("qpu_softmax", "softmax of rows"): 1e-3,
    ("qpu_softmax", "logarithms of softmax"): 1e-3,
    ("qpu_softmax", "logarithms of softmax in the middle"): 1e-3,
}


def allowed_error(algorithm: str, layer: str) -> float:
    """Largest error over largest result that the algorithm may have on the layer."""
    return ERRORS.get((algorithm, layer), MOST_ERROR)
