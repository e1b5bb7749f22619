"""What `explore qpu run` prints: times, counters, warnings, stale reads, and the profile by instruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from codegen.engines.videocore4.rules import DMA_BUSY, IDLE_ADD_WRITE, ROTATE_AFTER_PART, SAME_VALUE
from explorer.qpu.expectations import Comparison
from explorer.qpu.job import Job
from explorer.terminal.console import stdout
from explorer.terminal.sheet import Sheet
from microbench.virtual import Execution, InstructionProfile, Warned
from microbench.virtual.program import Code, ProgramRun
from microbench.virtual.window import instruction_line

INSTRUCTION_BYTES = 8
_RULES = {
    "idle_add_write": IDLE_ADD_WRITE,
    "same_result": SAME_VALUE,
    "transfer_follows": DMA_BUSY,
    "rotation_follows": ROTATE_AFTER_PART,
}
# Warnings of the virtual board, by name: most are rules of the validator.
_WARNINGS = {
    **{name: (rule.number, f"{rule.title}; {rule.remedy} ({rule.source})") for name, rule in _RULES.items()},
    "semaphore_left": ("semaphore_left", "a semaphore is not 0 at the end; the next launch finds it so"),
}


def print_run(job: Job, done: ProgramRun, profile: bool) -> None:
    """Everything about one run, on standard output: launch by launch, then a table of all."""
    console = stdout()
    several = len(done.executions) > 1
    for number, (launch, execution) in enumerate(zip(job.program.launches, done.executions, strict=True), 1):
        if not several:
            console.print(time_text(execution))
            counter_sheet(execution).show(console)
        _print_notes(console, execution, f"launch {number}: " if several else "")
        if profile:
            for bus, code in done.codes.items():
                if code in launch.codes:
                    title = f"launch {number}, {job.names[code]}"
                    profile_sheet(title, execution, bus, code).show(console)
    launch_sheet(job, done).show(console)


def run_json(
    job: Job, done: ProgramRun, profile: bool, comparisons: Sequence[Comparison]
) -> dict[str, object]:
    """The same as data."""
    launches = []
    for launch, execution in zip(job.program.launches, done.executions, strict=True):
        instructions = {
            job.names[code]: [
                {
                    "index": index,
                    "executions": entry.executions,
                    "stall_cycles": entry.stall_cycles,
                    "text": instruction_line(code[index]),
                }
                for index, entry in _of_code(execution, bus, code)
            ]
            for bus, code in done.codes.items()
            if code in launch.codes
        }
        launches.append(
            {
                "code": list(dict.fromkeys(job.names[code] for code in launch.codes)),
                "qpus": launch.qpus,
                "time_s": execution.time_s,
                "overhead_s": execution.overhead_s,
                "counters": execution.counters,
                "notes": _notes(execution),
                **({"instructions": instructions} if profile else {}),
            }
        )
    compared = [
        {"buffer": c.expectation.buffer, "error": c.error, "beyond": c.beyond, "text": str(c)}
        for c in comparisons
    ]
    return {"launches": launches, "comparisons": compared}


def _print_notes(console: Console, execution: Execution, before: str) -> None:
    for note in _notes(execution):
        console.print(before + note, style="yellow", markup=False)


def _notes(execution: Execution) -> list[str]:
    """What is remarkable about a launch: warnings, stale reads, a trace that is cut."""
    notes = [warning_text(warned) for warned in execution.warnings]
    notes += [
        f"stale read of {read.bus:#010x} by QPU {read.qpu}, instruction {read.instruction}"
        for read in execution.stale_reads
    ]
    hidden = int(execution.stale_reads) - len(execution.stale_reads)
    if hidden:
        notes.append(f"and {hidden} more stale reads")
    if execution.trace is not None and execution.trace.dropped:
        notes.append(
            f"{execution.trace.dropped} intervals did not fit into the trace: raise --trace-intervals"
        )
    return notes


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """How far buffers are from what was expected."""
    for comparison in comparisons:
        stdout().print(str(comparison), markup=False)


def time_text(execution: Execution) -> str:
    return (
        f"{execution.cycles} cycles, {1e6 * execution.time_s:.1f} us simulated, "
        f"of which {1e6 * execution.overhead_s:.1f} us are the launch call"
    )


def launch_sheet(job: Job, done: ProgramRun) -> Sheet:
    """Time and counts of each launch; the time is without the launch call."""
    headings = (
        "launch", "code", "QPUs", "us", "cycles", "instructions", "DMA loads", "DMA stores", "TMU requests",
        "uniform words", "address writes", "stale reads", "warnings",
    )  # fmt: skip
    rows = []
    for number, (launch, execution) in enumerate(zip(job.program.launches, done.executions, strict=True), 1):
        counts = {name: f"{value:.0f}" for name, value in execution.counters.items()}
        row = (
            str(number),
            ", ".join(dict.fromkeys(job.names[code] for code in launch.codes)),
            str(launch.qpus),
            f"{1e6 * (execution.time_s - execution.overhead_s):.2f}",
            counts["cycles"],
            counts["instructions"],
            _transfers(counts, "load"),
            _transfers(counts, "store"),
            counts["tmu_requests"],
            counts["uniform_words"],
            counts["uniform_address_writes"],
            counts["stale_reads"],
            counts["warnings"],
        )
        rows.append(row)
    return Sheet("", headings, rows, right=headings[2:])


def _transfers(counts: Mapping[str, str], kind: str) -> str:
    return f"{counts[f'dma_{kind}s']}: {counts[f'dma_{kind}_rows']} rows, {counts[f'dma_{kind}_bytes']} B"


def warning_text(warned: Warned) -> str:
    """What silicon lets pass, how often, and where first."""
    number, what = _WARNINGS[warned.rule]
    first = f"first by QPU {warned.qpu}, instruction {warned.instruction}"
    return f"warning {number}, {warned.count} times, {first}: {what}"


def counter_sheet(execution: Execution) -> Sheet:
    """Every counter that is not 0."""
    rows = [(name, f"{value:.0f}") for name, value in execution.counters.items() if value]
    return Sheet("", ("counter", "value"), rows, right=("value",))


def profile_sheet(title: str, execution: Execution, bus: int, code: Code) -> Sheet:
    """Executions and stall cycles of every instruction of a code at a bus address that was run, over all QPUs."""
    headings = ("index", "executions", "stall cycles", "of them", "instruction")
    rows = []
    for index, entry in _of_code(execution, bus, code):
        stalls = sum(entry.stall_cycles.values())
        text = instruction_line(code[index])
        rows.append((str(index), str(entry.executions), str(stalls or ""), causes(entry), text))
    return Sheet(title, headings, rows, right=headings[:3])


def _of_code(execution: Execution, bus: int, code: Code) -> Iterator[tuple[int, InstructionProfile]]:
    """The profile's entries of a code at a bus address, with their indices in it."""
    for entry in execution.profile:
        index = (entry.bus - bus) // INSTRUCTION_BYTES
        if 0 <= index < len(code):
            yield index, entry


def causes(entry: InstructionProfile) -> str:
    """The causes of an instruction's stalls, the longest first."""
    waited = sorted(((cycles, cause) for cause, cycles in entry.stall_cycles.items() if cycles), reverse=True)
    return ", ".join(f"{cause} {cycles}" for cycles, cause in waited)
