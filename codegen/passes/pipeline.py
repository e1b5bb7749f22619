"""The order of the passes, and the spec check after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codegen.errors import GraphSpecError
from codegen.graph import Graph
from codegen.operator import Stage
from codegen.passes.batch_norm import fold_batch_normalization
from codegen.passes.canonical_form import canonicalize
from codegen.passes.dead_code import remove_dead_code
from codegen.passes.epilogue_fusion import fuse_epilogues
from codegen.passes.gates import unite_gates
from codegen.passes.integer_layers import keep_integers
from codegen.passes.padding import fold_padding
from codegen.passes.reshape_elimination import eliminate_reshapes
from codegen.passes.row_affine import fold_row_affines
from codegen.passes.transposition import cancel_transposes
from codegen.passes.truths import unite_truths
from codegen.passes.view_transposition import fuse_view_transpositions
from codegen.spec_check import check


@dataclass(frozen=True)
class Pass:
    """A rewriting and the stage that its result is in."""

    rewrite: Callable[[Graph], Graph]
    stage: Stage

    @property
    def name(self) -> str:
        return self.rewrite.__name__


# Nodes without computation go first, for they stand between producers and what these can absorb; constants
# have been folded by the importer, for an operator of the IR always has an activation to read.
PIPELINE = (
    Pass(cancel_transposes, "imported"),
    Pass(eliminate_reshapes, "imported"),
    Pass(fuse_view_transpositions, "imported"),
    Pass(unite_truths, "imported"),
    Pass(remove_dead_code, "imported"),
    Pass(keep_integers, "imported"),
    Pass(fold_padding, "imported"),
    Pass(fold_batch_normalization, "fused"),
    Pass(fold_row_affines, "fused"),
    Pass(unite_gates, "fused"),
    Pass(fuse_epilogues, "fused"),
    Pass(canonicalize, "fused"),
    Pass(eliminate_reshapes, "fused"),
    Pass(remove_dead_code, "fused"),
)


def optimize(graph: Graph) -> Graph:
    """The fused graph of an imported one. Raises GraphSpecError naming the pass that broke the spec."""
    check(graph, "imported")
    for step in PIPELINE:
        graph = step.rewrite(graph)
        try:
            check(graph, step.stage)
        except GraphSpecError as error:
            raise GraphSpecError(f"after pass {step.name}: {error}") from error
    return graph
