"""Passes from the imported to the fused graph, each a function Graph -> Graph in a file of its own."""

from __future__ import annotations

from codegen.passes.pipeline import PIPELINE, Pass, optimize

__all__ = ["PIPELINE", "Pass", "optimize"]
