"""Published times of whole programs beside simulated ones, and what both programs do.

Run as `python -m microbench.suite.published`. The programs are of others and no part of this project: kernels of its
own (`programs`) do the same work with the same accesses, as often and as far apart, and run on the virtual board.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from rich.console import Console

from microbench.profile import DeviceProfile, load_profile
from microbench.suite.figures import TOLERANCE
from microbench.suite.programs import originals
from microbench.suite.programs.by_lines import rotated
from microbench.suite.programs.heat import heat
from microbench.suite.programs.launch import Counts, Program, launch
from microbench.suite.programs.resident import resident
from microbench.suite.programs.rotation import rotation
from microbench.suite.programs.streamed import streamed, streamed_alone

COUNT_TOLERANCE = 0.03


@dataclass(frozen=True)
class PublishedProgram:
    """A program of others: what it took where, what a launch of it does, and the kernel that stands for it.

    `fitted` names the constants of the board's profile that this time was used to set; `cached_by` says where the
    original's source has its memory allocated cached, and is empty for programs on boards that have no other way than
    directly.
    """

    what: str
    device: str
    clock_hz: float
    time_s: float
    time_source: str
    counts_source: str
    original: Counts
    kernel: Callable[[], Program]
    fitted: tuple[str, ...] = ()
    launches: int = 1
    cached_by: str = ""

    @property
    def profile(self) -> DeviceProfile:
        profile = load_profile(self.device).with_v3d(clock_hz=self.clock_hz)
        return profile.with_gpu_memory("cached" if self.cached_by else "direct")


@dataclass(frozen=True)
class ProgramComparison:
    """A published program, and what its kernel took and did on the virtual board, or on a variant of it."""

    program: PublishedProgram
    time_s: float
    counts: Counts
    variant: str = ""

    @property
    def ratio(self) -> float:
        """Simulated over published."""
        return self.time_s / self.program.time_s

    @property
    def agrees(self) -> bool:
        return abs(self.ratio - 1) <= TOLERANCE


def compare(program: PublishedProgram, variant: str = "") -> ProgramComparison:
    """Simulates one launch, for as many as the program has. Raises HazardError when it fails."""
    profile = program.profile.with_variant(variant) if variant else program.profile
    run = launch(program.kernel(), profile)
    return ProgramComparison(program, program.launches * run.execution.time_s, run.counts, variant)


def compare_variants(programs: Sequence[PublishedProgram]) -> tuple[ProgramComparison, ...]:
    """Under each variant of a program's profile that changes a constant which the program's time set."""
    return tuple(
        compare(program, name)
        for program in programs
        for name, variant in program.profile.variants.items()
        if set(variant.v3d) & set(program.fitted)
    )


_QPULIB_TIMES = 'QPULib, README, "Performance"'
_COLUMNS = "Lib/Target/LoadStore.cpp:65, 78, 159-193"
_CACHED = "QPULib c2658a5, Lib/VideoCore/SharedArray.h:82, 105"
_PI_1, _PI_2 = ("pi-1", 250e6), ("pi-2", 250e6)


def _rot3d(
    version: int, qpus: int, time_s: float, lines: str, original: Counts, fitted: tuple[str, ...] = ()
) -> PublishedProgram:
    return PublishedProgram(
        f"QPULib Rot3D {version}, 192,000 points, {_qpus(qpus)}",
        *_PI_1,
        time_s=time_s,
        time_source=_QPULIB_TIMES,
        counts_source=f"QPULib c2658a5, Tests/Rot3D.cpp:{lines}, {_COLUMNS}",
        original=original,
        kernel=lambda: rotation(qpus, prefetched=version > 1),
        fitted=fitted,
        cached_by=_CACHED,
    )


def _heat_map(qpus: int, time_s: float, fitted: tuple[str, ...] = ()) -> PublishedProgram:
    return PublishedProgram(
        f"QPULib HeatMap, 2,000 steps, {_qpus(qpus)}",
        *_PI_1,
        time_s=time_s,
        time_source=_QPULIB_TIMES,
        counts_source=f"QPULib c2658a5, Tests/HeatMap.cpp:57-101, {_COLUMNS}",
        original=originals.heat_map(qpus),
        kernel=lambda: heat(qpus),
        launches=2_000,
        fitted=fitted,
        cached_by=_CACHED,
    )


def _qpus(count: int) -> str:
    return f"{count} QPU{'s' if count > 1 else ''}"


def _sgemm(
    name: str,
    time_s: float,
    pull: int,
    counts_source: str,
    original: Counts,
    kernel: Callable[[], Program],
    fitted: tuple[str, ...],
    clock_hz: float = 400e6,
) -> PublishedProgram:
    return PublishedProgram(
        f"qmkl sgemm {name}",
        device="pi-3",
        clock_hz=clock_hz,
        time_s=time_s,
        time_source=f"qmkl#{pull}",
        counts_source=f"qmkl {counts_source}",
        original=original,
        kernel=kernel,
        fitted=fitted,
    )


def _first_sgemm(clock_hz: float) -> PublishedProgram:
    """Published without a clock: at the one that later times of qmkl need, and at the Pi 3's default."""
    return _sgemm(
        "as taken from py-videocore",
        *(0.02489, 1, "25d05f4, src/blas/sgemm.qbin:126-261, 263-452"),
        *(originals.sgemm_qmkl_1(), lambda: streamed(overlapped=False)),
        fitted=_UNIFORM,
        clock_hz=clock_hz,
    )


def _busy_pi_3(
    threads: str, time_s: float, lines: str, original: Counts, kernel: Callable[[], Program]
) -> PublishedProgram:
    """A clock is not stated: the Pi 3's default. The board drew a media centre's menu meanwhile."""
    return PublishedProgram(
        f"py-videocore sgemm, {threads}, beside a media centre",
        device="pi-3",
        clock_hz=300e6,
        time_s=time_s,
        time_source="py-videocore#5",
        counts_source=f"py-videocore 36b5d24, examples/{lines}",
        original=original,
        kernel=kernel,
        fitted=_UNIFORM,
    )


_ROW, _ARRIVALS = "vdw_row_cycles", "lowest_qpu_first"
_MEMORY = ("memory_bytes_per_cycle", "sdram_bytes_per_s")
_UNIFORM = ("uniform_l2_extra_cycles", "uniform_sdram_extra_s")
PROGRAMS = (
    _rot3d(1, 1, 0.040, "25-33", originals.rot3d_1(), (_ROW, "vdr_row_cycles")),
    _rot3d(2, 1, 0.018, "39-56", originals.rot3d_2()),
    _rot3d(3, 1, 0.018, "62-79", originals.rot3d_3(1)),
    _rot3d(3, 2, 0.016, "62-79", originals.rot3d_3(2), (_ROW,)),
    _heat_map(1, 49.34),
    _heat_map(2, 24.91),
    _heat_map(4, 20.36, (_ROW, _ARRIVALS)),
    _sgemm(
        "RNN before #40",
        *(0.015347, 40, "86e5e45, src/blas/sgemm_RNN.py:203-284, 397-591"),
        *(originals.sgemm_rnn(158), lambda: rotated(False, False, paired=False)),
        fitted=("clock_hz",),
    ),
    _sgemm(
        "RTN before #40",
        *(0.015308, 40, "86e5e45, src/blas/sgemm_RTN.py:201-282, 395-589"),
        *(originals.sgemm_rtn(158), lambda: rotated(True, False, paired=False)),
        fitted=("clock_hz",),
    ),
    _sgemm(
        "RNN after #40",
        *(0.013632, 40, "8e35eed, src/blas/sgemm_RNN.py:203-265, 378-572"),
        *(originals.sgemm_rnn(126), lambda: rotated(False, False, paired=True)),
        fitted=_MEMORY,
    ),
    _sgemm(
        "RTN after #40",
        *(0.013682, 40, "8e35eed, src/blas/sgemm_RTN.py:201-263, 376-570"),
        *(originals.sgemm_rtn(126), lambda: rotated(True, False, paired=True)),
        fitted=_MEMORY,
    ),
    _sgemm(
        "RNT before #30",
        *(0.166623, 30, "92a50f6, src/blas/sgemm_RNT.py:211-293, 406-603"),
        *(originals.sgemm_rnt_before_30(), lambda: rotated(False, True, paired=False)),
        fitted=_MEMORY,
    ),
    _sgemm(
        "RNT after #30",
        *(0.078211, 30, "4c3a1e7, src/blas/sgemm_RNT.py:183-331, 439-538"),
        *(originals.sgemm_rnt_after_30(), resident),
        fitted=("icache_extra_cycles",),
    ),
    PublishedProgram(
        "py-videocore sgemm, 12 threads",
        *_PI_2,
        time_s=0.0269,
        time_source='py-videocore, README: "8GFlops"',
        counts_source="py-videocore 5643470, examples/sgemm.py:179-211, 214-435",
        original=originals.sgemm_py_videocore(),
        kernel=lambda: streamed(overlapped=True),
        fitted=_UNIFORM,
    ),
    _first_sgemm(400e6),
    _first_sgemm(300e6),
    _busy_pi_3(
        "1 thread",
        *(0.2676, "sgemm_1thread.py:198-277, 288-560"),
        *(originals.sgemm_py_videocore_alone(), streamed_alone),
    ),
    _busy_pi_3(
        "12 threads",
        *(0.0321, "sgemm.py:209-286, 357-573"),
        *(originals.sgemm_py_videocore_2016(), lambda: streamed(overlapped=False)),
    ),
)


def times_table(comparisons: Sequence[ProgramComparison]) -> str:
    """Markdown: published beside simulated."""
    return "\n".join(
        [
            "| program | board | memory | published | simulated | ratio | "
            f"within {TOLERANCE:.0%} | set from it | source |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_times_row(c) for c in comparisons),
        ]
    )


def _times_row(c: ProgramComparison) -> str:
    p = c.program
    times = f"{_time(p.time_s)} | {_time(c.time_s)} | {c.ratio:.2f} | {_verdict(c)}"
    fitted = ", ".join(p.fitted) or "nothing"
    return f"| {p.what} | {_board(p)} | {_memory(p)} | {times} | {fitted} | {p.time_source} |"


def _memory(program: PublishedProgram) -> str:
    return f"cached: {program.cached_by}" if program.cached_by else "direct"


def _board(program: PublishedProgram) -> str:
    return f"{program.profile.title.split(':')[0]}, {program.clock_hz / 1e6:.0f} MHz"


def _verdict(c: ProgramComparison) -> str:
    return "yes" if c.agrees else "NO"


def _time(seconds: float) -> str:
    return f"{seconds:.4g} s" if seconds >= 1 else f"{seconds * 1e3:.4g} ms"


def variants_table(comparisons: Sequence[ProgramComparison]) -> str:
    """Markdown: the same times under other values of the constants that they set."""
    return "\n".join(
        [
            f"| program | board | variant | simulated | ratio | within {TOLERANCE:.0%} |",
            "|---|---|---|---|---|---|",
            *(_variants_row(c) for c in comparisons),
        ]
    )


def _variants_row(c: ProgramComparison) -> str:
    return (
        f"| {c.program.what} | {_board(c.program)} | {c.variant} | {_time(c.time_s)} | {c.ratio:.2f} | "
        f"{_verdict(c)} |"
    )


def counts_table(comparisons: Sequence[ProgramComparison]) -> str:
    """Markdown: what a launch of the kernel does, and behind a slash a launch of the original where it differs."""
    names = [field.name for field in fields(Counts)]
    return "\n".join(
        [
            f"| program | {' | '.join(name.replace('_', ' ') for name in names)} | counted in |",
            f"|---|{'---|' * len(names)}---|",
            *(_counts_row(c, names) for c in comparisons),
        ]
    )


def _counts_row(c: ProgramComparison, names: Sequence[str]) -> str:
    cells = (_both(getattr(c.counts, name), getattr(c.program.original, name)) for name in names)
    return f"| {c.program.what} | {' | '.join(cells)} | {c.program.counts_source} |"


def _both(kernel: int, original: int) -> str:
    return f"{kernel:,}" if kernel == original else f"{kernel:,} / {original:,}"


def main() -> None:
    """The command line."""
    comparisons = [compare(program) for program in PROGRAMS]
    console = Console(soft_wrap=True, highlight=False)
    console.print(times_table(comparisons), markup=False)
    console.print(variants_table(compare_variants(PROGRAMS)), markup=False)
    console.print(counts_table(comparisons), markup=False)


if __name__ == "__main__":
    main()
