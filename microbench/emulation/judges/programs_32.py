"""Programs whose times on Raspberry Pis in 32-bit state are published, by the clocks of modelled cores."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from codegen.engines.cpu.toolchain import compile_executable
from codegen.target import Target
from microbench.emulation.clock import ClockedExecutor
from microbench.emulation.core_model_32 import CoreModel32
from microbench.errors import BoardError

PROGRAMS = Path(__file__).with_name("programs_32.toml")
SOURCE = Path(__file__).with_name("matrix_product.c")
LIMIT_S = 1200.0
_RESULT = "result.txt"


class PublishedProgram(BaseModel):
    """A program's time on a board, in seconds, at the board's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    core: str
    clock_hz: float
    published_s: float
    source: str


def load_programs(core: str) -> dict[str, PublishedProgram]:
    """By name those of a core."""
    content = tomllib.loads(PROGRAMS.read_text(encoding="utf-8"))
    programs = TypeAdapter(dict[str, PublishedProgram]).validate_python(content["programs"])
    return {name: one for name, one in programs.items() if one.core == core}


def modelled_s(model: CoreModel32, name: str, clock_hz: float, target: Target) -> float:
    """A program's time in seconds; raises BoardError where the emulator is missing or the program fails."""
    program = compile_executable({SOURCE.name: SOURCE.read_text(encoding="utf-8")}, target, ("-std=gnu11",))
    executor = ClockedExecutor(model, clock_hz, wakes_at_yield=True)
    finished = executor.execute(program, (name, _RESULT), {}, (_RESULT,), LIMIT_S)
    if not finished.ended.is_good:
        raise BoardError(f"program {name} on a {model.name}: it {finished.ended.complaint}")
    return int(finished.outputs[_RESULT].split()[0]) / 1e9
