"""Layouts are exact inverses of themselves and put every element where the kernels expect it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.element_type import ELEMENT_TYPES
from codegen.engine_registry import layout_named, layouts
from codegen.engines.videocore4.layout import block_lines
from codegen.errors import ScheduleError
from codegen.tensor import TensorType

shapes = st.one_of(
    st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 2), st.integers(1, 40)),
)


@given(
    shapes, st.sampled_from(sorted(layouts())), st.sampled_from([element.name for element in ELEMENT_TYPES])
)
def test_unpack_inverts_pack(shape: tuple[int, ...], name: str, dtype: str) -> None:
    layout, tensor = layout_named(name), TensorType(shape, dtype)
    value = np.arange(1, tensor.elements + 1).astype(dtype).reshape(shape)
    if name == "pixel16" and tensor.element_type.size_bytes != 4:
        for refused in (lambda: layout.size_bytes(tensor), lambda: layout.pack(value)):
            with pytest.raises(ScheduleError, match=f"elements of {dtype} do not fill"):
                refused()
        return
    image = layout.pack(value)
    assert image.dtype == value.dtype
    assert (image.size, image.nbytes) == (layout.elements(tensor), layout.size_bytes(tensor))
    assert np.array_equal(layout.unpack(image, tensor), value)


def test_pixel16_puts_a_pixel_in_its_block_line_and_lane() -> None:
    value = np.arange(4 * 5 * 7, dtype=np.float32).reshape(1, 4, 5, 7)
    image = layout_named("pixel16").pack(value)
    channel, pixel = 3, 2 * 7 + 6
    line = (pixel // 16) * block_lines(4) + channel
    assert image[line * 16 + pixel % 16] == value[0, channel, 2, 6]


@pytest.mark.parametrize("channels", [24, 32, 64, 96, 128, 144, 256, 512, 960, 1024])
@pytest.mark.parametrize("sets", [64, 128])
def test_few_channels_of_neighbouring_blocks_spread_over_the_caches(channels: int, sets: int) -> None:
    lines = np.add.outer(np.arange(16) * block_lines(channels), np.arange(16)).reshape(-1)
    most = np.bincount(lines % sets, minlength=sets).max()
    assert most <= 2 * len(lines) / sets


@given(st.integers(1, 4096))
def test_padding_is_bounded(channels: int) -> None:
    assert channels <= block_lines(channels) < channels + 32


def test_unknown_layout_lists_the_known_ones() -> None:
    with pytest.raises(ScheduleError, match="nchw, pixel16"):
        layout_named("nhwc")
