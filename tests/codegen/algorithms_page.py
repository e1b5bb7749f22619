"""docs/algorithms.md: `python -m tests.codegen.algorithms_page` writes it, a test checks that it is current.

What an algorithm computes, and in which layouts, is read from its candidates for the table of layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from codegen.algorithm import Algorithm, algorithms
from codegen.algorithm_base import first_sentence
from codegen.operator_registry import supported_operators
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.built import choices, targets_of

PAGE = Path(__file__).parents[2] / "docs" / "algorithms.md"
ALL = 10**9  # more choices than any space has


def page() -> str:
    """The page's text."""
    return "\n".join(
        [
            "# Algorithms and operators",
            "",
            "Written by `python -m tests.codegen.algorithms_page`; a test checks that it is current.",
            "",
            "## Algorithms",
            "",
            "Which layers an algorithm takes beside the operator, its `computes` says; `explore algorithms` lists the",
            "candidates for a model's layers. `channelN` is the layout of blocks of as many channels as the target's",
            "vector registers hold.",
            "",
            *_table(
                ("Operator", "Engine", "Algorithm", "Layouts", "Element types", "What it does"), _algorithms()
            ),
            "",
            "## ONNX operators",
            "",
            *_table(("Operator", "Forms"), supported_operators().items()),
            "",
        ]
    )


def _algorithms() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for algorithm in algorithms().values():
        if not type(algorithm).__module__.startswith("codegen."):
            continue
        layouts = _layouts(algorithm)
        for operator in sorted({operator for operator, _ in layouts}):
            several = sorted({pair for of, pair in layouts if of == operator})
            types = ", ".join(sorted(algorithm.element_types))
            rows.append(
                (
                    operator,
                    algorithm.engine,
                    f"`{algorithm.name}`",
                    "; ".join(several),
                    types,
                    first_sentence(algorithm),
                )
            )
    return sorted(rows)


def _layouts(algorithm: Algorithm) -> set[tuple[str, str]]:
    """Operators, each with layouts of distinct inputs and outputs."""
    found = set()
    for spec in LAYERS.values():
        for target in targets_of(algorithm):
            if algorithm.applies(spec, target):
                for choice in choices(algorithm, spec, target, ALL):
                    sides = (choice.input_layouts, choice.output_layouts)
                    text = " to ".join(", ".join(dict.fromkeys(side)) for side in sides)
                    found.add((type(spec.op).__name__, re.sub(r"channel\d+", "channelN", text)))
    return found


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
