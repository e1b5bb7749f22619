"""What readers ask of copies where memory counts, as bits: which layouts, in which memory, and in whose buffer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from explorer.compose.demands import Demands

NEED, ON_HOST, ON_GPU, EARNED, LENT, PART, APART = (1 << bit for bit in range(7))
VIEWS = tuple(1 << bit for bit in range(7, 11))
FIELD = 11  # bits of a layout
FIELD_MASK = (1 << FIELD) - 1
PLACE = ON_HOST | ON_GPU | EARNED | LENT
_HOMES = (PART, APART, *VIEWS)


class Marks:
    """Masks of demands, of each layout a field of bits.

    `NEED`: somebody reads the copy. `ON_HOST`, `ON_GPU`: the memory it is in; `EARNED`: an engine that reads GPU memory
    alone reads it there, so that others may write it there. `LENT`: a view of it is an output of the network, in the
    caller's array. Whose buffer it is in, where somebody has to say: `PART`, that of a concatenation in place;
    `VIEWS[n]`, that of the tensor n + 1 views before it; `APART`, its own.
    """

    def __init__(self, layouts: Sequence[str]) -> None:
        self.layouts = tuple(layouts)
        self._shift = {layout: FIELD * place for place, layout in enumerate(self.layouts)}

    def field(self, layout: str, bits: int) -> int:
        """These bits of a layout."""
        return bits << self._shift[layout]

    def bits(self, mask: int, layout: str) -> int:
        """What the mask says of a layout."""
        return mask >> self._shift[layout] & FIELD_MASK

    def fields(self, mask: int) -> Iterator[tuple[str, int]]:
        """Every layout of which the mask says something, with that."""
        for layout, shift in self._shift.items():
            bits = mask >> shift & FIELD_MASK
            if bits:
                yield layout, bits

    def without(self, mask: int, layout: str) -> int:
        """The mask that says nothing of a layout."""
        return mask & ~(FIELD_MASK << self._shift[layout])

    def as_demands(self, mask: int, demands: Demands) -> int:
        """What the mask asks for wherever copies lie; parts of a concatenation are parts there too."""
        return sum(
            demands.placed(layout) if bits & PART else demands.need(layout)
            for layout, bits in self.fields(mask)
        )

    def contradicts(self, mask: int) -> bool:
        """Whether some copy would have to be in two places at once."""
        return _contradicts(mask)


@lru_cache(maxsize=1 << 16)
def _contradicts(mask: int) -> bool:
    while mask:
        if mask & ON_HOST and mask & ON_GPU:
            return True
        if sum(bool(mask & home) for home in _HOMES) > 1:
            return True
        mask >>= FIELD
    return False
