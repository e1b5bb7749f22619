from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codegen.engines.cpu.blocked.bands import Bands
from codegen.windows import Window


@st.composite
def chains(draw: st.DrawFn) -> Bands:
    """Windows that fit each other, the first the longest."""
    windows = []
    rows = draw(st.integers(8, 40))
    for _ in range(draw(st.integers(1, 4))):
        taps, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        pad = draw(st.integers(0, taps - 1))
        outputs = (rows + 2 * pad - (taps - 1) * dilation - 1) // stride + 1
        if outputs < 1:
            break
        windows.append(Window(rows, outputs, taps, stride, pad, dilation))
        rows = outputs
    windows = windows or [Window(rows, rows, 1, 1, 0, 1)]
    return Bands(tuple(windows), draw(st.integers(1, windows[-1].outputs)), draw(st.booleans()))


@given(chains(), st.data())
def test_every_row_is_there_when_it_is_read(bands: Bands, data: st.DataObject) -> None:
    last = bands.windows[-1].outputs
    first = data.draw(st.integers(0, last - 1))
    end = data.draw(st.integers(first + 1, last))
    rows_of_last: list[int] = []
    for lines in bands.walk(first, end):
        for window, before, line in zip(bands.windows[1:], lines[:-1], lines[1:], strict=True):
            for row in range(line.first, line.have):
                needed = range(window.clipped(row)[0], window.clipped(row)[1])
                taken = [row * window.stride - window.pad + tap * window.dilation for tap in needed]
                assert all(before.base <= place < before.have for place in taken)
        assert all(line.base <= line.first <= line.have for line in lines)
        rows_of_last += range(lines[-1].first, lines[-1].have)
    assert rows_of_last == list(range(first, end))


@given(chains())
def test_kept_halos_are_computed_once(bands: Bands) -> None:
    whole = ((0, bands.windows[-1].outputs),)
    computed = bands.computed(whole)
    assert computed[-1] == bands.windows[-1].outputs
    if bands.keeps_halos:
        assert all(rows <= window.outputs for rows, window in zip(computed, bands.windows, strict=True))
    capacities = bands.capacities(whole)
    assert all(rows <= window.outputs for rows, window in zip(capacities, bands.windows, strict=True))
