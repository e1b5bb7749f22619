"""Loops of a core whose cycles are published: built, run by the modelled clock, and compared."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from codegen.engines.cpu.toolchain import compile_executable
from microbench.emulation.clock import ClockedExecutor
from microbench.emulation.core_model import CoreModel
from microbench.emulation.core_model_32 import CoreModel32
from microbench.emulation.core_model_out_of_order import CoreModelOutOfOrder
from microbench.emulation.loop_assembly import AARCH64, Assembly, aarch32
from microbench.errors import BoardError, ProfileError

LOOP_DIRECTORY = Path(__file__).parent / "loops"
LOOP_DIRECTORY_32 = LOOP_DIRECTORY / "aarch32"
LOOP_DIRECTORY_OUT_OF_ORDER = LOOP_DIRECTORY / "out_of_order"
RELATIVE_TOLERANCE, CYCLE_TOLERANCE = 0.06, 0.03
_COPIES, _ROUNDS, _WARM_ROUNDS = 100, 100, 2
_HZ = 1e9  # a nanosecond is a cycle
_LIMIT_S = 60.0
_RESULT = "cycles.txt"


class Loop(BaseModel):
    """A body of instructions and the cycles that silicon takes for it in a long row of equal ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cycles: float
    source: str
    body: str

    @property
    def tolerance(self) -> float:
        """In cycles: by so much a model may differ."""
        return max(RELATIVE_TOLERANCE * self.cycles, CYCLE_TOLERANCE)

    @property
    def instructions(self) -> tuple[str, ...]:
        return tuple(text.strip() for text in self.body.split(";") if text.strip())


_LOOPS = TypeAdapter(dict[str, Loop])


def load_loops(core: str, directory: Path = LOOP_DIRECTORY) -> dict[str, Loop]:
    """By name those of a core, whose published cycles there are; raises ProfileError where there are none."""
    path = directory / f"{core}.toml"
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return _LOOPS.validate_python(content)
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ProfileError(f"loops of a core {core!r}, {path}: {error}") from error


def loops_of(model: CoreModel) -> dict[str, Loop]:
    """Those of a model's core in its state; raises as `load_loops`."""
    if isinstance(model, CoreModel32):
        return load_loops(model.name, LOOP_DIRECTORY_32)
    reorders = isinstance(model, CoreModelOutOfOrder)
    return load_loops(model.name, LOOP_DIRECTORY_OUT_OF_ORDER if reorders else LOOP_DIRECTORY)


def modelled_cycles(model: CoreModel, loops: dict[str, Loop]) -> dict[str, float]:
    """Cycles of one body of each loop; raises BoardError where the emulator is missing or a loop does not run."""
    assembly = aarch32(model.name) if isinstance(model, CoreModel32) else AARCH64
    source = _program(tuple(loops.values()), assembly)
    executable = compile_executable({"loops.c": source}, assembly.target, ("-std=gnu11",))
    executor = ClockedExecutor(model, _HZ)
    finished = executor.execute(executable, (_RESULT,), {}, (_RESULT,), _LIMIT_S)
    if not finished.ended.is_good:
        raise BoardError(f"loops of a {model.name}: the program {finished.ended.complaint}")
    times_ns = finished.outputs[_RESULT].split()
    return {name: int(ns) / (_COPIES * _ROUNDS) for name, ns in zip(loops, times_ns, strict=True)}


def _program(loops: Sequence[Loop], assembly: Assembly) -> str:
    names = ", ".join(f"loop_{i}" for i in range(len(loops)))
    return "\n".join(
        [
            "#include <stdint.h>",
            "#include <stdio.h>",
            "#include <time.h>",
            "typedef void loop(void *memory, long rounds);",
            f"extern loop {names};",
            *(assembly.function(f"loop_{i}", one.instructions * _COPIES) for i, one in enumerate(loops)),
            "static _Alignas(4096) unsigned char memory[8192];",
            "static int64_t now_ns(void)",
            "{",
            "    struct timespec now;",
            "    clock_gettime(CLOCK_MONOTONIC, &now);",
            "    return now.tv_sec * 1000000000LL + now.tv_nsec;",
            "}",
            "int main(int argc, char **argv)",
            "{",
            f"    static loop *const loops[] = {{{names}}};",
            '    FILE *result = argc == 2 ? fopen(argv[1], "w") : NULL;',
            "    for (unsigned i = 0; result && i < sizeof(loops) / sizeof(*loops); ++i) {",
            f"        loops[i](memory, {_WARM_ROUNDS});",
            "        const int64_t begin = now_ns();",
            f"        loops[i](memory, {_ROUNDS});",
            '        fprintf(result, "%lld\\n", (long long)(now_ns() - begin));',
            "    }",
            "    return result && fclose(result) == 0 ? 0 : 1;",
            "}",
            "",
        ]
    )
