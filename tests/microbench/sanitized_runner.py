"""The runner under gcc's sanitizers: what they find is written to files beside it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from microbench.runner.build import Backend, runner_sources
from microbench.virtual.build import SIMULATOR_FLAGS

Sanitizers = Literal["address,undefined", "thread"]

FLAGS = ("-std=c11", "-O1", "-g", "-pthread", "-fno-omit-frame-pointer")
# Leaks are not looked for: the runner ends by _exit.
_OPTIONS = "halt_on_error=1:exitcode=99:detect_leaks=0:atexit_sleep_ms=0:log_path="
_ENTRIES = ("asan", "ubsan", "tsan")


@dataclass(frozen=True)
class SanitizedRunner:
    """An executable and the directory of its reports."""

    program: Path
    reports: Path

    def found(self) -> str:
        """All reports; empty where there is none."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.reports.iterdir()))


def sanitized_runner(
    directory: Path, backend: Backend, sanitizers: Sanitizers, *more: str, **sources: str
) -> SanitizedRunner:
    """Compiles it into `directory`, with more flags and sources. Wants a C compiler of the system."""
    reports = directory / "reports"
    reports.mkdir(parents=True)
    options = json.dumps(f"{_OPTIONS}{reports}/found")
    entries = "".join(
        f"const char *__{one}_default_options(void);\n"
        f"const char *__{one}_default_options(void) {{ return {options}; }}\n"
        for one in _ENTRIES
    )
    texts = {**runner_sources(backend, "sanitized 1"), "options.c": entries, **sources}
    for name, text in texts.items():
        (directory / name).write_text(text)
    program = directory / "runner"
    flags = (*FLAGS, *(SIMULATOR_FLAGS if backend == "virtual" else ()), f"-fsanitize={sanitizers}", *more)
    units = sorted(name for name in texts if name.endswith(".c"))
    subprocess.run(("cc", *flags, "-o", program, *units, "-lm"), cwd=directory, check=True)
    return SanitizedRunner(program, reports)
