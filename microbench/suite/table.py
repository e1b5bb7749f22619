"""Tables of what the suite measures, beside published figures, and of whole programs beside published times.

Run as `python -m microbench.suite.table [--device DEVICE] [--out FILE]`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from microbench.profile import DeviceProfile, load_profile
from microbench.suite.benchmark import Benchmark
from microbench.suite.clocks import Throughput, clocks_table, virtual_throughputs
from microbench.suite.figures import FIGURES, TOLERANCE, Published
from microbench.suite.gpu import BoardShape, Gpu
from microbench.suite.published import (
    PROGRAMS,
    ProgramComparison,
    compare,
    compare_variants,
    counts_table,
    times_table,
    variants_table,
)
from microbench.suite.runner import Measurements, measure, queue_depth
from microbench.suite.suite import suite
from microbench.virtual import VirtualV3D

_DIGITS = 6  # of a figure; what is left of nothing after two launches' subtraction is nothing


@dataclass(frozen=True)
class Comparison:
    """A published figure and what the suite measured of it."""

    figure: Published
    measured: float

    @property
    def ratio(self) -> float | None:
        """Measured over published; None for a figure of 0."""
        return self.measured / self.figure.value if self.figure.value else None

    @property
    def agrees(self) -> bool:
        return self.figure.agrees(self.measured)


@dataclass(frozen=True)
class SuiteRun:
    """The suite's benchmarks on a board, and their times."""

    benchmarks: tuple[Benchmark, ...]
    measured: Measurements
    shape: BoardShape

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        there = (f for f in FIGURES if f.qpus <= self.shape.qpus)
        return tuple(Comparison(f, round(f.read(self.measured, self.shape), _DIGITS)) for f in there)


def run_suite(gpu: Gpu, shape: BoardShape) -> SuiteRun:
    """The suite; raises HazardError when a launch fails."""
    chosen = suite(shape, queue_depth(gpu))
    return SuiteRun(chosen, measure(gpu, chosen), shape)


def run_virtual(profile: DeviceProfile) -> SuiteRun:
    """On the virtual board of a profile; raises ProfileError for a device without QPUs."""
    shape = BoardShape.of(profile)
    with VirtualV3D(profile) as gpu:
        return run_suite(gpu, shape)


def figures_table(comparisons: Sequence[Comparison]) -> str:
    """Markdown: single figures, and the constants that were set from them."""
    return "\n".join(
        [
            f"| figure | published | suite | ratio | within {TOLERANCE:.0%} | set from it | source |",
            "|---|---|---|---|---|---|---|",
            *(_figure_row(c) for c in comparisons),
        ]
    )


def _figure_row(c: Comparison) -> str:
    figure, verdict = c.figure, "yes" if c.agrees else "NO"
    sets = figure.sets or figure.worth
    return f"| {figure.what} | {_number(c)} | {verdict} | {sets} | {figure.source} |"


def _number(c: Comparison) -> str:
    ratio = "-" if c.ratio is None else f"{c.ratio:.2f}"
    unit = "" if c.figure.unit == "1" else f" {c.figure.unit}"
    return f"{c.figure.value:.4g}{unit} | {c.measured:.4g}{unit} | {ratio}"


def measurements_table(run: SuiteRun) -> str:
    """Markdown: every benchmark's time a round, and cycles for each of what it counts."""
    rows = (
        f"| {b.name} | {run.measured[b.name] * 1e9:.1f} | "
        f"{run.measured[b.name] * run.shape.clock_hz / b.units:.3f} |"
        for b in run.benchmarks
    )
    header = ["| benchmark | ns a round | cycles a unit |", "|---|---|---|"]
    return "\n".join([*header, *rows])


_PAGE = """# The microbenchmark suite and published programs on the virtual boards

Launch times of QPU programs on virtual boards; no number here was taken on silicon but the published ones. Written by

    python -m microbench.suite.table --device {device} --out {out}

## Single figures

Small programs of `microbench/suite/families` on the virtual board of profile `{device}`.

{figures}

## Whole programs

Times that the authors of programs published, beside kernels of this project that make the same accesses: setup words,
rows, widths and streams, as many instructions between them, on data laid out alike. Each runs on the profile of its
board at the clock of its line; `python -m microbench.suite.published` prints the tables of this section alone, in half
a minute. Every launch is simulated in full, HeatMap's 2,000 once: a step back from the second grid to the first takes
the same cycles. No kernel was changed after its ratio was seen. One constant was: `uniform_sdram_extra_s` was 77 cycles
until the last product came to 0.81 at 400 MHz, and is the same time at every clock since. Where a constant of the
profile was set from a time, agreement shows that the virtual board keeps it; where none was, that it predicts it.

QPULib's programs run with memory behind the system's L2, as their source allocates it; past it, none of their times
would differ by as much as 0.01 %. The boards of the others have no way but directly.

Three times of py-videocore's product and qmkl's first are without a clock. Memory bounds them on 12 QPUs, so that they
tell little of what a line of uniforms takes; that of one QPU does: with none of it, it would take half as long. The one
that is missed was taken on a board that drew a menu from the same memory.

{times}

Variants of a profile give a constant that a time set another value (`explore devices`); under them these programs take:

{variants}

What a launch does, all QPUs together: of the kernel, and behind a slash of the original where it differs. The parts
that the originals' counts are made of stand in `microbench/suite/programs/originals.py`. py-videocore's times are of
2016, when its program on 12 QPUs waited for its DMA transfers at other places than the two kernels do.

{counts}

Earlier versions of this page said that published programs take 1.9 to 3 times as long on silicon as here. That was a
fault of the kernels that stood for them: they stored one row of 16 words where QPULib stores, and loads, 16 rows of one
word each, and they issued half the instructions.

## Memory by the V3D's clock

What all QPUs together, and each DMA engine, move on the profile's board at other clocks. Reads are so many bytes a
cycle until SDRAM ends; a transfer's set-up is a time, and its rows are cycles.

{clocks}

## Every measurement

A unit is what the family counts: a launch, an instruction, a request, a word, a vector, a byte (DMA, TMU streams).

{measurements}
"""


def page(
    run: SuiteRun,
    programs: Sequence[ProgramComparison],
    variants: Sequence[ProgramComparison],
    throughputs: Sequence[Throughput],
    device: str,
    out: str,
) -> str:
    """The markdown file."""
    return _PAGE.format(
        device=device,
        out=out,
        figures=figures_table(run.comparisons),
        times=times_table(programs),
        variants=variants_table(variants),
        counts=counts_table(programs),
        clocks=clocks_table(throughputs),
        measurements=measurements_table(run),
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="pi-zero")
    parser.add_argument("--out", type=Path, help="file to write the tables to")
    arguments = parser.parse_args()
    profile = load_profile(arguments.device)
    run, throughputs = run_virtual(profile), virtual_throughputs(profile)
    programs = [compare(program) for program in PROGRAMS]
    console = Console(soft_wrap=True, highlight=False)
    console.print(figures_table(run.comparisons), markup=False)
    console.print(times_table(programs), markup=False)
    console.print(clocks_table(throughputs), markup=False)
    if arguments.out is not None:
        variants = compare_variants(PROGRAMS)
        text = page(run, programs, variants, throughputs, arguments.device, str(arguments.out))
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
