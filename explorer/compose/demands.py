"""What readers ask of a tensor, as bits: in which layouts, in which memory, and whether as part of a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codegen.engine import Engine
from codegen.memory_space import GPU, HOST

NEED, ON_HOST, ON_GPU, PLACED = 1, 2, 4, 8
FIELD = 4  # bits of a layout
ANYWHERE = frozenset({HOST, GPU})


class Demands:
    """Masks of demands: of each layout a field of bits. `NEED`: somebody reads it; `ON_HOST`, `ON_GPU`: it has to be in
    that memory; `PLACED`: it has to be written where it belongs in a concatenation.

    Memories are told apart only where some engine has to have the one and some other engine the other.
    """

    def __init__(self, layouts: Sequence[str], engines: Iterable[Engine]) -> None:
        self.layouts = tuple(layouts)
        self._shift = {layout: FIELD * place for place, layout in enumerate(self.layouts)}
        bound = [spaces for engine in engines for spaces in (engine.reads, engine.writes)]
        self.tells_memories = any(HOST not in b for b in bound) and any(GPU not in b for b in bound)
        self._all_hosts = sum(ON_HOST << shift for shift in self._shift.values())
        self._without_bounds: dict[int, int] = {}

    def need(self, layout: str) -> int:
        """A reader in that layout, wherever it is."""
        return NEED << self._shift[layout]

    def bound(self, layout: str, spaces: frozenset[str]) -> int:
        """The copy in that layout has to be in one of these memories."""
        if not self.tells_memories or spaces >= ANYWHERE:
            return 0
        return (ON_HOST if HOST in spaces else ON_GPU) << self._shift[layout]

    def bounds(self, mask: int, layout: str) -> int:
        """What the mask says of the memory of that layout."""
        return mask & ((ON_HOST | ON_GPU) << self._shift[layout])

    def allows(self, layout: str, bounds: int, writes: frozenset[str]) -> bool:
        """Whether whoever writes that copy can write it where it has to be."""
        every = bounds | self.bound(layout, writes)
        return not self.contradicts(every)

    def moved(self, bounds: int, source: str, target: str) -> int:
        """The same said of another layout."""
        return bounds >> self._shift[source] << self._shift[target]

    def placed(self, layout: str) -> int:
        """Part of a concatenation in place."""
        return PLACED << self._shift[layout]

    def with_bounds(self, mask: int, is_free: bool) -> tuple[int, ...]:
        """The masks that an offer may ask for: one that is free hands on what is asked of its result's memory."""
        if not (is_free and self.tells_memories):
            return (mask,)
        (shift,) = (shift for shift in self._shift.values() if mask >> shift & (NEED | PLACED))
        return (mask, mask | ON_HOST << shift, mask | ON_GPU << shift)

    def without_bounds(self, mask: int) -> int:
        """What the mask says whatever the memory; a part of a concatenation is there for readers too."""
        if mask not in self._without_bounds:
            fields = ((mask >> shift, shift) for shift in self._shift.values())
            found = sum((field & PLACED or field & NEED) << shift for field, shift in fields)
            self._without_bounds[mask] = found
        return self._without_bounds[mask]

    def contradicts(self, mask: int) -> bool:
        """Whether a copy has to be in both memories at once."""
        return bool(mask & self._all_hosts & (mask >> 1))

    def needed(self, mask: int) -> tuple[str, ...]:
        """The layouts that somebody reads."""
        return tuple(layout for layout, shift in self._shift.items() if mask >> shift & NEED)

    def placed_in(self, mask: int) -> str | None:
        """The layout of the copy that is a part of a concatenation, None where none is."""
        return next((layout for layout, shift in self._shift.items() if mask >> shift & PLACED), None)
