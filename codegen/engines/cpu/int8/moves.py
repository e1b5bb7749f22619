"""Operands brought to vector registers of AArch64 beside products, for a core that issues in order.

On a Cortex-A53 a vector load waits for the fourth cycle of a product, and with products in every cycle there is always
one. What comes by a general register does not wait: its load issues beside a product, its move takes a cycle (sources:
microbench/emulation/cores/cortex-a53.toml).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

AHEAD = 5  # instructions between a load and the move of what it brings, at least
TEMPORARIES = tuple(f"x{number}" for number in range(9, 16))


@dataclass(frozen=True)
class Move:
    """Eight bytes at an address to a half of a vector register, before instruction number `earliest` at the earliest:
    where the register is free. The address is there from number `loadable` on.
    """

    register: int
    address: str
    earliest: int
    half: int = 0
    loadable: int = 0

    def text(self, source: str) -> str:
        """The instruction, from a general register. The lower half clears the upper one."""
        if self.half:
            return f"ins v{self.register}.d[{self.half}], {source}"
        return f"fmov d{self.register}, {source}"


def with_moves(lines: Sequence[str], moves: Sequence[Move], others: Mapping[int, Sequence[str]]) -> list[str]:
    """The instructions with the moves between them, each as early as may be and one at a place, and with further ones
    before those of some numbers.
    """
    beside: list[list[str]] = [list(others.get(number, ())) for number in range(len(lines) + 1)]
    place, free = AHEAD - 1, [0] * len(TEMPORARIES)
    for number, move in enumerate(sorted(moves, key=lambda move: move.earliest)):
        place = min(max(place + 1, move.earliest), len(lines))
        temporary = number % len(TEMPORARIES)
        name = TEMPORARIES[temporary]
        beside[max(move.loadable, place - AHEAD, free[temporary])].append(f"ldr {name}, {move.address}")
        beside[place].append(move.text(name))
        free[temporary] = place
    result = [text for line, before in zip(lines, beside, strict=False) for text in (*before, line)]
    return [*result, *beside[-1]]
