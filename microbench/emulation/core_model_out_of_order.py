"""The model of an out-of-order core in 64-bit state: what differs from in-order ones; the memory system does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from microbench.emulation.core_model import (
    CLASSES,
    CLOCK_DIRECTORY,
    INTERFACE,
    NO_UNIT,
    CoreModel,
    Forms,
    InstructionClass,
    known_cores,
    load_core,
    load_model,
    models_in,
)

CORE_DIRECTORY_OUT_OF_ORDER = Path(__file__).parent / "cores" / "out_of_order"
PLUGIN_DIRECTORY_OUT_OF_ORDER = CLOCK_DIRECTORY / "out_of_order"
# Those of the plugin of in-order cores that know nothing of their pipeline.
SHARED = (
    *("channel.h", "memory.c", "memory.h", "pipeline.h", "plugin.c", "decode.c", "decode_vector.c"),
    *("system_calls.c", "system_calls.h", "threads.c", "threads.h"),
)
PIPELINE_OUT_OF_ORDER = (
    *("dispatch_width", "reorder_entries", "queue_entries", "store_forward_cycles"),
    *("misprediction_cycles", "taken_branch_cycles", "predictor_entries", "predictor_history_bits"),
)
# Those that clock_plugin/out_of_order/finer_class.c tells apart besides.
FINER_CLASSES = (
    *("float_simple", "float_convert", "float_pair", "shift", "shift_register", "general_to_vector"),
    *("load_interleaved", "store_many"),
)
_OF_IN_ORDER_CORES = ("lanes", "first", "multiplies")


class Unit(BaseModel):
    """The pipes that take a kind of micro-operations, any of them each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipes: tuple[str, ...]
    source: str


class MicroOperations(InstructionClass):
    """As `InstructionClass`: `issue` micro-operations, each of which takes a pipe of its unit for `busy` cycles and
    `slots` of dispatch and of the reorder buffer (of the whole instruction `slots_once` more).
    """

    busy: Forms = 1
    slots: Forms = 1
    slots_once: Forms = 0

    def form(self, larger: int) -> dict[str, int]:
        return {name: value for name, value in super().form(larger).items() if name not in _OF_IN_ORDER_CORES}


class CoreModelOutOfOrder(CoreModel):
    """The model of an out-of-order core in 64-bit state."""

    pipeline_names: ClassVar[tuple[str, ...]] = PIPELINE_OUT_OF_ORDER
    class_names: ClassVar[tuple[str, ...]] = (*CLASSES, *FINER_CLASSES)

    judged: int  # threads
    units: Mapping[str, Unit]
    classes: Mapping[str, MicroOperations]

    @property
    def judged_threads(self) -> int:
        return self.judged

    def _texts(self) -> dict[str, str]:
        own = (*PLUGIN_DIRECTORY_OUT_OF_ORDER.glob("*.c"), *PLUGIN_DIRECTORY_OUT_OF_ORDER.glob("*.h"))
        paths = sorted((*(CLOCK_DIRECTORY / name for name in SHARED), INTERFACE, *own))
        return {path.name: path.read_text(encoding="utf-8") for path in paths}

    def _definitions(self) -> list[str]:
        pipes = sorted({pipe for unit in self.units.values() for pipe in unit.pipes})
        used = sorted({row.unit for row in self.classes.values()} - {NO_UNIT})
        masks = [0, *(sum(1 << pipes.index(pipe) for pipe in self.units[name].pipes) for name in used)]
        return [
            *super()._definitions(),
            f"#define PIPES {len(pipes)}",
            f"#define UNIT_PIPES {{{', '.join(f'{mask:#x}' for mask in masks)}}}",
        ]


def load_core_out_of_order(name: str) -> CoreModelOutOfOrder:
    """The model of an out-of-order core by its compiler's name; raises ProfileError as `load_model`."""
    return load_model(CoreModelOutOfOrder, CORE_DIRECTORY_OUT_OF_ORDER, name)


def known_cores_out_of_order() -> tuple[str, ...]:
    """Names of the out-of-order cores that there are models of."""
    return models_in(CORE_DIRECTORY_OUT_OF_ORDER)


def load_core_64(name: str) -> CoreModel:
    """The model of a core in 64-bit state, in order or not; raises ProfileError as `load_model`."""
    return load_core_out_of_order(name) if name in known_cores_out_of_order() else load_core(name)


def known_cores_64() -> tuple[str, ...]:
    """Names of all cores that there are models of in 64-bit state."""
    return tuple(sorted((*known_cores(), *known_cores_out_of_order())))
