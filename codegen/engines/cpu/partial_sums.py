"""Long sums in parts: sums in registers begin anew after so many products, and what they were is added in memory.

A float sum of n products, taken one after another, is off by about sqrt(n) roundings of its size, one of parts by
sqrt(length of a part + number of parts): blocked summation (Higham, The Accuracy of Floating Point Summation, 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.engines.cpu.source import BARRIER, fill

Limits = tuple[int, int]
"""Products of a part, about: on vectors of more than 4 lanes, and on others."""

LIMITS: Limits = (128, 256)
"""Beginning a sum anew takes a load, an addition, a store and a zero: below a hundredth of the instructions of 256
products. x86's long vectors add from memory, beside multiply-adds that take longer.
"""

SCALAR = 1  # lanes: where the compiler makes the vectors, a part more costs as much as without them


@dataclass(frozen=True)
class Parts:
    """A loop of so many steps in parts of `span` steps, of which the last may be shorter."""

    steps: int
    span: int

    @staticmethod
    def of(steps: int, products: int, lanes: int, limits: Limits = LIMITS) -> Parts:
        """Of a loop that adds `products` products to each sum in a step, on vectors of so many lanes."""
        most = limits[0] if lanes > 4 else limits[1]
        wanted = max(1, min(steps, round(steps * products / most)))
        return Parts(steps, max(1, -(-steps // wanted)))

    @property
    def count(self) -> int:
        return -(-self.steps // self.span)

    @property
    def last(self) -> int:
        """Steps of the last part."""
        return self.steps - self.span * (self.count - 1)


def summed(parts: Parts, vec: str, sums: Sequence[str], body: Callable[[str], str]) -> str:
    """Statements that end with all products in `sums`, variables of type `vec` that have their first values.

    `body`: the loop of as many steps as a C expression says.
    """
    if parts.count <= 1:
        return body(str(parts.steps))
    memory, moves = moving(sums, vec)
    return fill(
        """
        $memory
        for (int first = 0; first < $steps; first += $span) {
            const int count = $steps - first < $span ? $steps - first : $span;
            $moves
            $body
        }
        $joined
        """,
        memory=memory,
        steps=parts.steps,
        span=parts.span,
        moves=moves.begun(f"first == {parts.span}", f"first > {parts.span}" if parts.count > 2 else ""),
        body=body("count"),
        joined=moves.joined,
    ).strip()


@dataclass(frozen=True)
class Moves:
    """Statements that move sums to what there is in memory of the parts before: `kept`, `added`; `joined`: back."""

    kept: str
    added: str
    joined: str

    def begun(self, second: str, later: str) -> str:
        """Begins the sums anew where one of two C conditions holds: that this is the second part, or a later one."""
        text = f"if ({second}) {self.kept}"
        return f"{text}\nelse if ({later}) {self.added}" if later else text


def moving(sums: Sequence[str], vec: str) -> tuple[str, Moves]:
    """The declaration of memory for sums of type `vec`, and the statements that move them.

    Compilers do not see that it is the kernel's own: they would hold it in registers, of which there are no more.
    """
    at = [f"parts[{i}]" for i in range(len(sums))]

    def block(text: str) -> str:
        lines = [text.format(place=place, name=name) for place, name in zip(at, sums, strict=True)]
        return f"{{ {' '.join(lines)} }}"

    memory = f'{vec} memory[{len(sums)}], *parts = memory;\n__asm__ volatile("" : "+r"(parts) : : "memory");'
    begin = f"{{name}} = ({vec}){{{{0}}}};"
    return memory, Moves(
        block(f"{{place}} = {{name}}; {begin}").replace(" }", f" {BARRIER} }}"),
        block(f"{{place}} += {{name}}; {begin}").replace(" }", f" {BARRIER} }}"),
        block("{name} += {place};"),
    )
