"""Loops of a core whose cycles are published: built, run by the modelled clock, and compared."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from codegen.engines.cpu.toolchain import compile_executable
from codegen.target import Target
from microbench.emulation.clock import ClockedExecutor
from microbench.emulation.core_model import CoreModel
from microbench.errors import BoardError, ProfileError

LOOP_DIRECTORY = Path(__file__).parent / "loops"
RELATIVE_TOLERANCE, CYCLE_TOLERANCE = 0.06, 0.03
_COPIES, _ROUNDS, _WARM_ROUNDS = 100, 100, 2
_HZ = 1e9  # a nanosecond is a cycle
_LIMIT_S = 60.0
_RESULT = "cycles.txt"
_TARGET = Target(
    name="core-loops", qpus=0, cpu="generic", compiler=("aarch64-linux-musl", "-static", "-O1"), cores=1
)


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


def load_loops(core: str) -> dict[str, Loop]:
    """By name those of a core, whose published cycles there are; raises ProfileError where there are none."""
    path = LOOP_DIRECTORY / f"{core}.toml"
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return _LOOPS.validate_python(content)
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ProfileError(f"loops of a core {core!r}, {path}: {error}") from error


def modelled_cycles(model: CoreModel, loops: dict[str, Loop]) -> dict[str, float]:
    """Cycles of one body of each loop; raises BoardError where the emulator is missing or a loop does not run."""
    executable = compile_executable({"loops.c": _program(tuple(loops.values()))}, _TARGET, ("-std=gnu11",))
    executor = ClockedExecutor(model, _HZ)
    finished = executor.execute(executable, (_RESULT,), {}, (_RESULT,), _LIMIT_S)
    if not finished.ended.is_good:
        raise BoardError(f"loops of a {model.name}: the program {finished.ended.complaint}")
    times_ns = finished.outputs[_RESULT].split()
    return {name: int(ns) / (_COPIES * _ROUNDS) for name, ns in zip(loops, times_ns, strict=True)}


def _program(loops: Sequence[Loop]) -> str:
    names = ", ".join(f"loop_{i}" for i in range(len(loops)))
    return "\n".join(
        [
            "#include <stdint.h>",
            "#include <stdio.h>",
            "#include <time.h>",
            "typedef void loop(void *memory, long rounds);",
            f"extern loop {names};",
            *(_function(f"loop_{i}", one) for i, one in enumerate(loops)),
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


def _function(name: str, one: Loop) -> str:
    """A function in assembly that keeps what its callers own."""
    saved = [("x19", "x20"), ("x21", "x22"), ("x23", "x24"), ("x29", "x30")]
    saved += [(f"d{i}", f"d{i + 1}") for i in range(8, 16, 2)]
    lines = [
        f".global {name}",
        f"{name}:",
        *(f"stp {a}, {b}, [sp, #-16]!" for a, b in saved),
        "mov x20, x1",
        "mov x1, x0",
        "add x8, x0, #64",
        "add x2, x0, #2048",
        "str x2, [x2]",
        "mov x3, #0",
        "mov x0, x20",
        "1:",
        *one.instructions * _COPIES,
        "sub x0, x0, #1",
        "cbnz x0, 1b",
        *(f"ldp {a}, {b}, [sp], #16" for a, b in reversed(saved)),
        "ret",
    ]
    return "__asm__(\n" + "\n".join(f'    "{line}\\n"' for line in lines) + ");"
