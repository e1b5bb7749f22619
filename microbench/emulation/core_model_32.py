"""The model of a core in 32-bit state (A32): what differs from 64-bit state; caches, prefetches and memory do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from microbench.emulation.core_model import (
    CLOCK_DIRECTORY,
    INTERFACE,
    CoreModel,
    Flags,
    Forms,
    InstructionClass,
    load_model,
    models_in,
)

CORE_DIRECTORY_32 = Path(__file__).parent / "cores" / "aarch32"
PLUGIN_DIRECTORY_32 = CLOCK_DIRECTORY / "aarch32"
# Those of the plugin of 64-bit state that know nothing of its instructions.
SHARED = (
    *("channel.c", "channel.h", "memory.c", "memory.h"),
    *("pipeline.h", "plugin.c", "threads.c", "threads.h"),
)
PIPELINE_32 = (
    *("issue_width", "vector_lanes", "vector_load_conflict_cycles", "vectors_wait_for_results"),
    *("address_early_cycles", "shifted_early_cycles", "factor_early_cycles"),
    *("stored_early_cycles", "stored_vector_early_cycles"),
    *("misprediction_cycles", "misprediction_least_cycles", "indirect_misprediction_cycles"),
    *("predictor_entries", "predictor_history_bits", "indirect_targets"),
)
# Those of the decoder (clock_plugin/aarch32/decode*.c): of every core, and of units that one may lack.
GENERAL_CLASSES = (
    *("alu_immediate", "move", "alu_register", "alu_shift", "alu_shift_register", "shift"),
    *("extend", "reverse", "count_zeros", "saturate", "parallel"),
    *("multiply", "multiply_half", "multiply_high", "multiply_long"),
    *("branch", "call", "return", "indirect", "hint", "system", "prefetch"),
    *(
        "load",
        "load_narrow",
        "load_double",
        "load_exclusive",
        "load_multiple",
        "load_return",
        "load_indirect",
    ),
    *("store", "store_double", "store_exclusive", "store_multiple"),
    *("load_float", "load_float_multiple", "store_float", "store_float_multiple"),
    *("float_add", "float_multiply", "float_multiply_add", "float_divide", "float_root", "float_move"),
    *(
        "float_compare",
        "float_precision",
        "float_convert",
        "float_flags",
        "float_to_general",
        "general_to_float",
    ),
)
OPTIONAL_CLASSES = (
    *("divide", "bit_field", "barrier", "float_fused", "general_to_all"),
    *("vector_fused", "vector_multiply", "vector_float", "vector_step", "vector_simple", "logical"),
    *("integer", "integer_late", "saturating", "integer_long", "integer_twice"),
    *("widen", "narrow", "narrow_rounded", "narrow_saturating", "integer_multiply", "integer_multiply_long"),
    *("integer_fused", "integer_fused_long", "permute", "permute_two"),
    *("load_structure", "load_interleaved", "load_lane", "load_replicated"),
    *("store_structure", "store_interleaved", "store_lane"),
)


class InstructionClass32(InstructionClass):
    """As `InstructionClass`; two values are of 64-bit and 128-bit forms, and of single and double precision.

    Accesses move `beat_words` registers of 32 bits at once: `issue`, `busy` and `next_result` are of each such beat.
    `issue` 0 of a branch: it is folded away. `alone`: nothing issues beside it.
    """

    beat_words: Forms = 2
    alone: Flags = False

    def form(self, larger: int) -> dict[str, int]:
        return {**super().form(larger), "known": 1}


class CoreModel32(CoreModel):
    """The model of a core in 32-bit state, for programs of one thread in A32; `emulated` as qemu-arm names it.

    Classes of `OPTIONAL_CLASSES` that it has none of end a program that executes such an instruction.
    """

    emulator: ClassVar[str] = "qemu-arm"
    emulator_options: ClassVar[tuple[str, ...]] = ()  # it keeps all of a program's addresses for it
    pipeline_names: ClassVar[tuple[str, ...]] = PIPELINE_32
    class_names: ClassVar[tuple[str, ...]] = (*GENERAL_CLASSES, *OPTIONAL_CLASSES)
    optional_classes: ClassVar[frozenset[str]] = frozenset(OPTIONAL_CLASSES)

    classes: Mapping[str, InstructionClass32]

    def _texts(self) -> dict[str, str]:
        own = (*PLUGIN_DIRECTORY_32.glob("*.c"), *PLUGIN_DIRECTORY_32.glob("*.h"))
        paths = sorted((*(CLOCK_DIRECTORY / name for name in SHARED), INTERFACE, *own))
        return {path.name: path.read_text(encoding="utf-8") for path in paths}

    def _definitions(self) -> list[str]:
        names = ", ".join(f'"{name}"' for name in self.class_names)
        places = ", ".join(f"CLASS_{name.upper()}" for name in self.class_names)
        return [f"#define CLASS_NAMES {{{names}}}", f"enum {{ {places}, CLASS_COUNT }};"]


def load_core_32(name: str) -> CoreModel32:
    """The model of a core in 32-bit state by its compiler's name; raises ProfileError as `load_model`."""
    return load_model(CoreModel32, CORE_DIRECTORY_32, name)


def known_cores_32() -> tuple[str, ...]:
    """Names of the cores that there are models of in 32-bit state."""
    return models_in(CORE_DIRECTORY_32)
