"""Compositions within caps, each asked for once, and none where a wider cap's already keeps within."""

from __future__ import annotations

from collections.abc import Callable

from explorer.compose.compose import Composition
from explorer.compose.held import Caps
from explorer.errors import CompositionError, UndecidedError


class KnownCompositions:
    """What is cheapest within wide caps is so within narrower ones that it keeps; where nothing keeps within caps,
    nothing does within narrower ones.
    """

    def __init__(self, compose: Callable[[Caps], Composition]) -> None:
        self._compose = compose
        self._found: list[tuple[Caps, Composition]] = []
        self._nothing: list[tuple[Caps, CompositionError]] = []

    def __call__(self, caps: Caps) -> Composition:
        """The cheapest within caps; raises CompositionError where there is none."""
        for wider, found in self._found:
            if _contains(wider, caps) and caps.keep(found.gpu_bytes, found.arena_bytes):
                return found
        for wider, error in self._nothing:
            if _contains(wider, caps):
                raise error
        try:
            found = self._compose(caps)
        except UndecidedError:
            raise
        except CompositionError as error:
            self._nothing.append((caps, error))
            raise
        self._found.append((caps, found))
        return found


def _contains(wider: Caps, caps: Caps) -> bool:
    return wider.gpu_bytes >= caps.gpu_bytes and wider.arena_bytes >= caps.arena_bytes
