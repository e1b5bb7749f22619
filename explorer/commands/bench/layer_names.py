"""The option `--layer` of benchmarks that look at single layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codegen.graph import LayerSpec


def chosen_layers(layers: Mapping[str, LayerSpec], words: list[str] | None) -> Mapping[str, LayerSpec]:
    """The layers whose names contain one of the words; all without words. Raises UsageError where there is none."""
    from explorer.errors import UsageError

    if not words:
        return layers
    chosen = {name: spec for name, spec in layers.items() if any(word in name for word in words)}
    if not chosen:
        known = ", ".join(layers)
        raise UsageError(f"no layer's name contains {' or '.join(map(repr, words))}; there are: {known}")
    return chosen
