"""The second witness of formulas in the schema of plans: Python's own arithmetic on whole arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def evaluated(formulas: Mapping[str, str], name: str, known: Mapping[str, Any]) -> Any:
    """A formula's value, of numbers or arrays that broadcast."""
    names: dict[str, Any] = {**known, "min": np.minimum}
    for entry in (*(formula for formula in formulas if formula != name), name):
        # Formulas stand before those that use them.
        if entry == name or set(_names(formulas[entry])) <= names.keys():
            names[entry] = eval(formulas[entry], {"__builtins__": {}}, names)
    return names[name]


def _names(formula: str) -> tuple[str, ...]:
    return compile(formula, "formula", "eval").co_names
