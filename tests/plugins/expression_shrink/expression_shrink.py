"""Shrink: nothing between -lambd and lambd, what lies beyond them moved towards zero by bias."""

from __future__ import annotations

from codegen.expression import less, select

EXPRESSIONS = {
    "Shrink": lambda x, *, bias=0.0, lambd=0.5: select(
        less(x, -lambd), x + bias, select(less(lambd, x), x - bias, 0.0)
    ),
}
