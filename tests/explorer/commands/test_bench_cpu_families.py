"""`explore bench cpu-families` on layers of a few kilobytes, and what its table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.pool2d import Pool2d
from codegen.tensor import TensorType
from explorer.studies.kernel_families import count_families, fewest_row_major, limit_s
from explorer.studies.representative_layers import LAYERS_OF_OTHER_KINDS, REPRESENTATIVE_LAYERS
from microbench.profile import load_profile
from tests.codegen.layers import layer_spec
from tests.explorer.command_line import explore, refused

POOL = layer_spec(Pool2d("max", (2, 2), (2, 2)), (TensorType((1, 6, 8, 8)),), TensorType((1, 6, 4, 4)))


def test_other_kinds_are_pools_transposed_and_grouped_convolutions() -> None:
    assert {type(spec.op) for spec in LAYERS_OF_OTHER_KINDS.values()} == {Conv2d, ConvTranspose2d, Pool2d}


def test_a_program_may_take_the_longer_the_more_it_computes() -> None:
    largest, small = REPRESENTATIVE_LAYERS["conv 7x7 s2"], REPRESENTATIVE_LAYERS["fully connected"]
    assert limit_s(largest, 2) - limit_s(largest, 1) > 200 > limit_s(small, 2) - limit_s(small, 1)


@pytest.mark.needs("instruction counting")
def test_each_kernel_of_a_layer_is_counted_row_major_with_one_lane_and_with_all() -> None:
    counts = list(count_families(load_profile("pi-3-64"), {"pool": POOL}, points=2))
    found = {(count.candidate.choice.algorithm, count.lanes): count for count in counts}
    assert set(found) == {("cpu_pool", None), ("cpu_blocked_pool", 1), ("cpu_blocked_pool", 4)}
    assert found["cpu_blocked_pool", 1].candidate.choice.output_layout == "nchw"
    for count in counts:  # an output is the largest of four; a vector instruction makes four at the most
        assert POOL.output.elements * 4 / 4 < count.instructions < POOL.output.elements * 4 * 100
    assert fewest_row_major(counts) == {"pool": found["cpu_pool", None].instructions}


@pytest.mark.needs("instruction counting")
def test_counts_do_not_depend_on_the_run() -> None:
    first, second = (
        [count.instructions for count in count_families(load_profile("pi-zero"), {"pool": POOL}, points=1)]
        for _ in range(2)
    )
    # Both repeats read the clock, which takes a few instructions more or less.
    assert first == pytest.approx(second, abs=200)


@pytest.mark.needs("instruction counting")
def test_the_table_is_written_as_markdown(tmp_path: Path) -> None:
    page = tmp_path / "families.md"
    more = ("--layer", "average of all", "--points", "1", "--markdown", page)
    result = explore("bench", "cpu-families", "--device", "pi-3-64", *more)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "| average of all | cpu_pool | row-major |" in text
    assert "| average of all | cpu_blocked_pool | 4 |" in text


def test_an_unknown_layer_is_refused() -> None:
    refused(explore("bench", "cpu-families", "--layer", "7x9"), "7x9", "average of all")
