"""Which rows of every layer of a chain are computed for each band of the last one's, and how many must be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codegen.windows import Window


@dataclass(frozen=True)
class Lines:
    """The rows of a layer that are in memory, [base, have), and those of them that a band computes, [first, have)."""

    base: int = 0
    first: int = 0
    have: int = 0

    @property
    def computed(self) -> int:
        return self.have - self.first


@dataclass(frozen=True)
class Bands:
    """Bands of `rows` rows of the last layer of a chain. `windows[i]` slide down layer i over the layer before it.

    `keeps_halos`: rows that the next band needs again are moved to the top of their buffer, not computed anew.
    """

    windows: tuple[Window, ...]
    rows: int
    keeps_halos: bool

    def walk(self, first: int, end: int) -> tuple[tuple[Lines, ...], ...]:
        """For every band of the rows [first, end) of the last layer the lines of every layer."""
        state = tuple(Lines() for _ in self.windows)
        walked = []
        for start in range(first, end, self.rows):
            state = self._band(state, start, min(start + self.rows, end))
            walked.append(state)
        return tuple(walked)

    def capacities(self, shares: Sequence[tuple[int, int]]) -> tuple[int, ...]:
        """The most rows of each layer that are in memory at once, whichever of the shares is walked."""
        lines = [band for share in shares for band in self.walk(*share)]
        return tuple(max(band[i].have - band[i].base for band in lines) for i, _ in enumerate(self.windows))

    def computed(self, shares: Sequence[tuple[int, int]]) -> tuple[int, ...]:
        """Rows of each layer that are computed, all shares together; halos more than once where they are not kept."""
        lines = [band for share in shares for band in self.walk(*share)]
        return tuple(sum(band[i].computed for band in lines) for i, _ in enumerate(self.windows))

    def _band(self, state: tuple[Lines, ...], first: int, end: int) -> tuple[Lines, ...]:
        found = [Lines(first, first, end)]
        for window, before in zip(self.windows[:0:-1], state[-2::-1], strict=True):
            following = found[0]
            if not following.computed:
                found.insert(0, replace(before, first=before.have))
                continue
            low, high = window.needs(following.first, following.have)
            if self.keeps_halos and before.have > low:
                found.insert(0, Lines(low, before.have, max(high, before.have)))
            else:
                found.insert(0, Lines(low, low, high))
        return tuple(found)


BANDS_TEXT = """
    #ifndef EXPLORE_LINES
    #define EXPLORE_LINES
    typedef struct {
        int base, first, have;
    } lines;

    /* The rows of a layer that the rows [first, have) of the one behind it need. */
    static inline __attribute__((always_inline, unused)) lines lines_needed(
        lines before, lines following, int inputs, int stride, int pad, int reach, int keeps_halos)
    {
        if (following.first == following.have)
            return (lines){before.base, before.have, before.have};
        int low = following.first * stride - pad, high = (following.have - 1) * stride - pad + reach;
        low = low < 0 ? 0 : low > inputs ? inputs : low;
        high = high < 0 ? 0 : high > inputs ? inputs : high;
        if (keeps_halos && before.have > low)
            return (lines){low, before.have, high > before.have ? high : before.have};
        return (lines){low, low, high};
    }

    /* Moves the rows of `blocks` blocks that are still needed to the top. */
    static inline __attribute__((always_inline, unused)) void lines_kept(
        float *buffer, lines before, lines now, int blocks, int block, int row)
    {
        if (now.first == now.base || now.base == before.base)
            return;
        for (int b = 0; b < blocks; ++b)
            __builtin_memmove(buffer + b * block, buffer + b * block + (now.base - before.base) * row,
                              sizeof(float) * (now.first - now.base) * row);
    }
    #endif
"""
