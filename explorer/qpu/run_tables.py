"""What `explore qpu run` prints: time, counters, stale reads, and the profile by instruction."""

from __future__ import annotations

from rich.table import Table

from codegen.engines.videocore4.rules import DMA_BUSY, IDLE_ADD_WRITE, ROTATE_AFTER_PART, SAME_VALUE
from explorer.terminal.console import stdout
from microbench.virtual import Execution, InstructionProfile, Warned
from microbench.virtual.program import ProgramRun, QpuProgram
from microbench.virtual.window import instruction_line

INSTRUCTION_BYTES = 8
# Warnings of the virtual board are rules of the validator.
_RULES = {
    "idle_add_write": IDLE_ADD_WRITE,
    "same_result": SAME_VALUE,
    "transfer_follows": DMA_BUSY,
    "rotation_follows": ROTATE_AFTER_PART,
}


def print_run(program: QpuProgram, done: ProgramRun, profile: bool) -> None:
    """Everything about one run, on standard output."""
    console = stdout()
    execution = done.execution
    console.print(
        f"{execution.cycles} cycles, {1e6 * execution.time_s:.1f} us simulated, "
        f"of which {1e6 * execution.overhead_s:.1f} us are the launch call"
    )
    console.print(counter_table(execution))
    for warned in execution.warnings:
        console.print(warning_text(warned), style="yellow", markup=False)
    for read in execution.stale_reads:
        console.print(
            f"stale read of {read.bus:#010x} by QPU {read.qpu}, instruction {read.instruction}",
            style="yellow",
        )
    hidden = int(execution.stale_reads) - len(execution.stale_reads)
    if hidden:
        console.print(f"and {hidden} more stale reads", style="yellow")
    if execution.trace is not None and execution.trace.dropped:
        console.print(
            f"{execution.trace.dropped} intervals did not fit into the trace: raise --trace-intervals",
            style="yellow",
        )
    if profile:
        console.print(profile_table(program, done))


def warning_text(warned: Warned) -> str:
    """What silicon lets pass, how often, and where first."""
    rule = _RULES[warned.rule]
    return (
        f"warning {rule.number}, {warned.count} times, first by QPU {warned.qpu}, instruction {warned.instruction}: "
        f"{rule.title}; {rule.remedy} ({rule.source})"
    )


def print_table(table: Table) -> None:
    """A table on standard output, not squeezed where that is no terminal."""
    stdout().print(table)


def counter_table(execution: Execution) -> Table:
    """Every counter that is not 0."""
    table = Table("counter", "value")
    table.columns[1].justify = "right"
    for name, value in execution.counters.items():
        if value:
            table.add_row(name, f"{value:.0f}")
    return table


def profile_table(program: QpuProgram, done: ProgramRun) -> Table:
    """Executions and stall cycles of every instruction that was run, over all QPUs."""
    table = Table("index", "executions", "stall cycles", "of them", "instruction")
    for column in table.columns[:3]:
        column.justify = "right"
    for entry in done.execution.profile:
        index = (entry.bus - done.code_bus) // INSTRUCTION_BYTES
        inside = 0 <= index < len(program.code)
        text = instruction_line(program.code[index]) if inside else f"at {entry.bus:#010x}"
        stalls = sum(entry.stall_cycles.values())
        row = (str(index), str(entry.executions), str(stalls or ""), causes(entry), text)
        table.add_row(*row)
    return table


def causes(entry: InstructionProfile) -> str:
    """The causes of an instruction's stalls, the longest first."""
    waited = sorted(((cycles, cause) for cause, cycles in entry.stall_cycles.items() if cycles), reverse=True)
    return ", ".join(f"{cause} {cycles}" for cycles, cause in waited)
