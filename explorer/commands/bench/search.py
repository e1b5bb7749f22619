"""`explore bench search`: what the composition of large networks costs, and how far from the optimum it may be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.errors import UsageError
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.composition import Composed
    from explorer.studies.solvers import Compared
    from explorer.studies.study_table import StudyTable

COLUMNS = (
    ("network", "left"),
    ("choices of", "left"),
    ("layers", "right"),
    ("choices", "right"),
    ("cap", "left"),
    ("CPU time, s", "right"),
    ("peak memory, MB", "right"),
    ("composed, ms", "right"),
    ("proven gap", "right"),
)
INTRODUCTION = """\
`explore bench search` composes synthetic networks and those of the zoo from made-up times: at least 12 choices for
every distinct layer in four layouts, every change of layout, launches where there are QPUs, threads where there are
none, chains of layers on the CPU. A cap is half of what the plan without one holds, of GPU memory or of the CPU's
arena, whichever is more. The gap is the part of the composed time that is not proven to be needed within the cap; 0 is
the optimum. Time counts everything from the choices to the plan, on one core."""

SOLVER_COLUMNS = (
    ("network", "left"),
    ("choices of", "left"),
    ("by", "left"),
    ("wall time, s", "right"),
    ("gap at 10 s", "right"),
    ("gap at 60 s", "right"),
    ("composed, ms", "right"),
)
BY_SOLVERS = """\
`explore bench search --with cp-sat --with highs` composes the same networks without caps as a binary program too: a
path through the layers from what is active to what is active, and layouts that meet. CP-SAT is that of OR-Tools on two
cores, HiGHS that of SciPy on one; the own search needs no program and keeps caps as well, which the program does not
have. Wall time is that of a run with a limit of 10 s for the solver, with making the program; where that proves no
optimum, the solver runs once more with 60 s."""


def search(
    network: Annotated[
        list[str] | None,
        typer.Option(
            help="only these networks, or ONNX files; may be repeated (default: all that have names)",
            metavar="NETWORK",
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            help="of one core, as counted work, for one composition; then the best found",
            min=0.1,
            metavar="SECONDS",
        ),
    ] = 10.0,
    solvers: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="compare with this solver instead, without caps: cp-sat (of the extra `solvers`) or highs; may be "
            "repeated",
            metavar="cp-sat|highs",
        ),
    ] = None,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compose networks that are hard to compose: time, memory, and the proven gap."""
    with reported(place=markdown):
        from explorer.studies.composition import names, study
        from explorer.studies.study_table import show, write_markdown

        unknown = [name for name in network or () if name not in names() and not name.endswith(".onnx")]
        if unknown:
            raise UsageError(f"no network {unknown[0]!r}; there are {', '.join(names())}")
        if solvers:
            _compare(network or names(), solvers, markdown, as_json)
            return
        done = []
        for composed in study(network or names(), seconds):
            done.append(composed)
            if markdown is not None:  # after each: an interrupt loses none that is done
                write_markdown(markdown, "Composition", INTRODUCTION, [_table(done, seconds)])
        show([_table(done, seconds)], as_json, "explore bench search --with highs compares with a solver")


def _compare(networks: Sequence[str], solvers: Sequence[str], markdown: Path | None, as_json: bool) -> None:
    from explorer.solvers.composing import solver_named
    from explorer.studies.solvers import study
    from explorer.studies.study_table import show, write_markdown

    done = []
    for compared in study(networks, tuple(map(solver_named, solvers))):
        done.append(compared)
        if markdown is not None:
            write_markdown(markdown, "Composition by solvers", BY_SOLVERS, [_compared_table(done)])
    show([_compared_table(done)], as_json, "explore bench search has caps of memory too")


def _compared_table(done: Sequence[Compared]) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    return StudyTable("Networks", SOLVER_COLUMNS, tuple(map(_compared_row, done)))


def _compared_row(one: Compared) -> tuple[str, ...]:
    first, last = one.answers[0], one.answers[-1]
    found = last.composition
    return (
        Path(one.shape).stem,
        "QPUs and CPU" if one.qpus else "CPU",
        one.by,
        f"{first.wall_s:.2f}",
        "none found" if first.composition is None else _gap(first.composition.gap),
        "none found" if found is None else _gap(found.gap),
        "-" if found is None else f"{1e3 * found.total_s:.4f}",
    )


def _table(done: Sequence[Composed], seconds: float) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    note = f"Work allowed for one composition: that of about {seconds:g} s of one core."
    return StudyTable("Networks", COLUMNS, tuple(map(_row, done)), (note,))


def _row(one: Composed) -> tuple[str, ...]:
    found = one.composition
    return (
        Path(one.shape).stem,
        "QPUs and CPU" if one.qpus else "CPU",
        str(one.nodes),
        f"{one.options:,}",
        "half" if one.is_capped else "none",
        f"{one.seconds:.2f}",
        f"{one.peak_bytes / 1e6:.0f}",
        _none(one) if found is None else f"{1e3 * found.total_s:.4f}",
        "-" if found is None else _gap(found.gap),
    )


def _gap(gap: float) -> str:
    return "0" if gap == 0.0 else f"{100 * gap:.2g} %"


def _none(one: Composed) -> str:
    return "none found" if one.is_undecided else "nothing fits"
