"""An executor that runs programs for ARM under qemu-user by the clocks of modelled cores."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codegen.engines.cpu.toolchain import compile_shared
from microbench.boards.execution import Finished, LocalExecutor
from microbench.emulation.core_model import CoreModel
from microbench.emulation.emulator import why_no_counting
from microbench.errors import BoardError
from microbench.virtual.build import THIS_MACHINE

REPORT = "clock.txt"
FLAGS = ("-std=gnu11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra")
# Nothing of this machine's environment reaches the program, and what the kernel would draw at random is the same.
_ALONE = ("-i",)
_SAME_RANDOM_BYTES = ("-seed", "1")
_STATE = Path("/proc/thread-self/stat")  # of a thread
_PROCESSOR = 36  # which number of it says where the thread runs
_OUTSIDE_GROUPS = frozenset({"threads", "cycles", "instructions"})


@dataclass(frozen=True)
class ClockReport:
    """What a program took on the modelled cores since the model woke: cycles until its end, and the instructions and
    counts by name of all its threads.
    """

    cycles: int
    instructions: int
    threads: int
    counts: Mapping[str, int]


@cache
def why_no_clock(emulator: str = CoreModel.emulator) -> str | None:
    """Why programs cannot be run by a modelled clock under an emulator here, or None."""
    for program in ("env", "taskset"):
        if shutil.which(program) is None:
            return f"no program {program}"
    return why_no_counting(emulator)


class ClockedExecutor:
    """`microbench.boards.execution.Executor` under qemu-user: whatever clock a program reads is the modelled core's.

    A program's threads have a core each; where more run at once than the model has, or one waits in a way that is not
    modelled, the program ends with a message. The same program with the same files takes the same cycles every time,
    and threads of this process may run several. With `wakes_at_yield` the model sleeps, and its clocks stand, until the
    program first calls sched_yield: what goes before runs several times as fast. `library_root`: where programs find
    their dynamic loader and libraries.

    A program of several `threads` is held on one of this machine's processors. One of them goes on at a time and hands
    over every few hundred cycles of the model, which takes over ten times as long from one processor to another.
    """

    def __init__(
        self,
        model: CoreModel,
        clock_hz: float,
        wakes_at_yield: bool = False,
        library_root: Path | None = None,
        threads: int = 1,
    ) -> None:
        """Raises BoardError where the emulator is missing, has no plugins or wants another version of them."""
        reason = why_no_clock(model.emulator)
        if reason is not None:
            raise BoardError(f"programs cannot be run by the clock of a {model.name}: {reason}")
        self._plugin = compile_shared(model.sources(clock_hz), THIS_MACHINE, FLAGS)
        self._model = model
        self._wakes = ",wakes=yield" if wakes_at_yield else ""
        self._root = ("-L", str(library_root)) if library_root else ()
        self._held = threads > 1

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """See `Executor`; raises BoardError as `clocked`."""
        return self.clocked(executable, arguments, files, outputs, limit_s)[0]

    def clocked(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[Finished, ClockReport | None]:
        """The program's end, and what it took; None where it did not end well.

        `environment` is all that the program sees of one. Raises BoardError where the plugin was not loaded.
        """
        words = (
            *(*_ALONE, *(f"{name}={value}" for name, value in (environment or {}).items())),
            *(str(shutil.which(self._model.emulator)), "-cpu", self._model.emulated, *_SAME_RANDOM_BYTES),
            *(*self._model.emulator_options, *self._root),
            *("-plugin", f"{self._plugin},out={REPORT}{self._wakes}", str(executable), *arguments),
        )
        env = str(shutil.which("env"))
        first, *others = (*_on_this_processor(), env, *words) if self._held else (env, *words)
        finished = LocalExecutor().execute(Path(first), others, files, (*outputs, REPORT), limit_s)
        if not finished.ended.is_good:
            return finished, None
        report = _parsed(finished.outputs.get(REPORT, b""))
        if report is None:
            raise BoardError(
                f"{self._model.emulator} reported no cycles: it did not load {self._plugin.name}; take QEMU 7 or 8"
            )
        return finished, report


def _on_this_processor() -> tuple[str, ...]:
    """The words before a program that hold it on the processor of this thread: several that run programs at once are
    spread by the kernel already.
    """
    numbers = _STATE.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return str(shutil.which("taskset")), "--cpu-list", numbers[_PROCESSOR]


def _parsed(content: bytes) -> ClockReport | None:
    lines = [line.rsplit(" ", 1) for line in content.decode("ascii", "replace").splitlines()]
    numbers = {name: int(value) for name, value in lines}
    if not numbers.keys() >= _OUTSIDE_GROUPS:
        return None
    counts = {name: value for name, value in numbers.items() if name not in _OUTSIDE_GROUPS}
    return ClockReport(numbers["cycles"], numbers["instructions"], numbers["threads"], counts)
