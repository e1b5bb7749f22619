"""Tables of what the suite measures, beside published figures.

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
from microbench.suite.gpu import BoardShape, Gpu
from microbench.suite.published import FIGURES, TOLERANCE, Published, computations
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
    """The suite and the published computations; raises HazardError when a launch fails."""
    chosen = (*suite(shape, queue_depth(gpu)), *computations(shape))
    return SuiteRun(chosen, measure(gpu, chosen), shape)


def run_virtual(profile: DeviceProfile) -> SuiteRun:
    """On the virtual board of a profile; raises ProfileError for a device without QPUs."""
    shape = BoardShape.of(profile)
    with VirtualV3D(profile) as gpu:
        return run_suite(gpu, shape)


def published_table(comparisons: Sequence[Comparison]) -> str:
    """Two markdown tables: figures that constants were set from, and figures that none was."""
    used = [c for c in comparisons if c.figure.sets or c.figure.unit != "s"]
    unused = [c for c in comparisons if c not in used]
    return "\n".join(
        [
            f"| figure | published | suite | ratio | within {TOLERANCE:.0%} | set from it | source |",
            "|---|---|---|---|---|---|---|",
            *(_used_row(c) for c in used),
            "",
            "| published time, no constant set from it | published | suite | ratio | worth of the comparison |",
            "|---|---|---|---|---|",
            *(_unused_row(c) for c in unused),
        ]
    )


def _used_row(c: Comparison) -> str:
    figure, verdict = c.figure, "yes" if c.agrees else "NO"
    sets = figure.sets or figure.worth
    return f"| {figure.what} | {_number(c)} | {verdict} | {sets} | {figure.source} |"


def _unused_row(c: Comparison) -> str:
    return f"| {c.figure.what} ({c.figure.source}) | {_number(c)} | {c.figure.worth} |"


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


_PAGE = """# The microbenchmark suite on the virtual board

Launch times of small QPU programs (`microbench/suite`) on the virtual board of profile `{device}`; no number here was
taken on silicon. Written by

    python -m microbench.suite.table --device {device} --out {out}

## Beside published figures

{published}

The times of the second table come from programs of others, which this project does not contain; its own kernels do
the same arithmetic and the same memory accesses. Where arithmetic bounds them they say little. Where the store engine
does, they say that QPULib's single-row stores take about 620 to 670 ns, three times what the published
microbenchmarks (300 MB/s, 213 ns) and hence the profile give: either its way to store costs more than these kernels',
or single-row stores to scattered rows are slower than the microbenchmarks' stores. The Fourier transform's floor is the
profile's 5.2 bytes a cycle: a transform that reached it would move its passes' 8 MiB in 6.5 ms. Only silicon can tell.

## Every measurement

A unit is what the family counts: a launch, an instruction, a request, a word, a vector, a byte (DMA, TMU streams).

{measurements}
"""


def page(run: SuiteRun, device: str, out: str) -> str:
    """The markdown file."""
    return _PAGE.format(
        device=device,
        out=out,
        published=published_table(run.comparisons),
        measurements=measurements_table(run),
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="pi-zero")
    parser.add_argument("--out", type=Path, help="file to write the tables to")
    arguments = parser.parse_args()
    run = run_virtual(load_profile(arguments.device))
    Console(soft_wrap=True, highlight=False).print(published_table(run.comparisons), markup=False)
    if arguments.out is not None:
        text = page(run, arguments.device, str(arguments.out))
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
