"""A core's model as data: pipeline, memory system and classes of instructions, each constant with its source."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from microbench.errors import ProfileError
from microbench.profile import Constant, Constants

CORE_DIRECTORY = Path(__file__).parent / "cores"
CLOCK_DIRECTORY = Path(__file__).parent / "clock_plugin"
INTERFACE = Path(__file__).with_name("qemu_plugin.h")
HEADER = "core_model.h"
Forms = int | tuple[int, int]
Flags = bool | tuple[bool, bool]

PIPELINE = (
    "issue_width",
    "vector_lanes",
    "store_data_cycles",
    "vector_load_conflict_cycles",
    "misprediction_cycles",
    "indirect_misprediction_cycles",
)
MEMORY = (
    "line_bytes",
    "l1_bytes",
    "l1_ways",
    "l2_bytes",
    "l2_ways",
    "l2_cycles",
    "line_fills",
    "store_buffers",
    "store_slack_cycles",
    "streaming_after_lines",
    "prefetch_streams",
    "prefetch_after",
    "prefetch_lines",
    "translation_cycles",
    "latency_s",
    "bytes_per_s",
)
CLUSTER = ("cores", "ahead_cycles", "wake_s", "waking_s")
# Those of the decoder (clock_plugin/decode.c, decode_vector.c).
CLASSES = (
    *("alu", "shifted", "multiply", "multiply_64", "multiply_add_64", "divide"),
    *("branch", "hint", "system", "prefetch"),
    *("load", "load_narrow", "load_pair", "load_vector", "load_vector_pair", "load_structure"),
    *("load_four_interleaved", "load_lane", "load_replicated"),
    *("store", "store_pair", "store_vector", "store_vector_pair", "store_structure", "store_interleaved"),
    *("store_lane", "fused", "float_multiply", "float", "float_step", "float_divide", "float_move"),
    *("float_select", "float_root", "divide_single", "divide_double", "float_to_general", "general_to_float"),
    *("logical", "vector", "integer", "integer_late", "saturating", "integer_long", "integer_twice"),
    *("widen", "narrow", "narrow_rounded", "narrow_saturating", "integer_multiply", "integer_multiply_long"),
    *("integer_fused", "integer_fused_long", "dot_product"),
    *("permute", "insert", "vector_to_general"),
)
NO_UNIT = "none"
# What is varied together: constants of memory by name, and fields of every assumed class.
ASSUMED_MEMORY = {
    "memory latency": ("latency_s",),
    "memory bandwidth": ("bytes_per_s",),
    "second level": ("l2_cycles",),
    "buffers, pages": ("line_fills", "store_buffers", "store_slack_cycles", "translation_cycles"),
}
ASSUMED_CLASSES = {
    "latencies": ("latency", "forward", "next_result"),
    "issue, busy units": ("issue", "issue_once", "busy"),
}
ASSUMED = (*ASSUMED_MEMORY, *ASSUMED_CLASSES)


class InstructionClass(BaseModel):
    """What instructions of one kind take, in cycles; two values: of their 64-bit and 128-bit forms.

    `issue` cycles to issue (of structures: for each register, and `issue_once` more), `latency` until the result is
    read, `forward` until it is added to (0: as it is read), `next_result` between the results of several registers,
    `lanes` of 64 bits taken of the vector units, `busy` how long its `unit` takes no other. `first`: it issues only as
    the first of a pair; `merges`: it keeps a part of what its register held; `multiplies`: vector loads meet it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    source: str
    unit: str = NO_UNIT
    busy: Forms = 0
    issue: Forms = 1
    issue_once: Forms = 0
    latency: Forms = 1
    forward: Forms = 0
    next_result: Forms = 0
    lanes: Forms = 0
    first: Flags = False
    merges: Flags = False
    multiplies: Flags = False

    def form(self, larger: int) -> dict[str, int]:
        """Its numbers by name, of the smaller or the larger form."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: int(value[larger] if isinstance(value, tuple) else value)
            for name, value in values.items()
            if not isinstance(value, str)
        }


class CoreModel(BaseModel):
    """The model of a core, named as compilers name it; `emulated`: as qemu-user names it.

    The hash covers the numbers and the programs that use them, not the sources' wording. `emulator`, and the
    `emulator_options` that give a program the same addresses every time, are those of the core's state.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    emulator: ClassVar[str] = "qemu-aarch64"
    # The emulator finds room for the program in a range of its own: elsewhere what the kernel picks differs by the run.
    emulator_options: ClassVar[tuple[str, ...]] = ("-R", f"{8 << 30:#x}")
    pipeline_names: ClassVar[tuple[str, ...]] = PIPELINE
    class_names: ClassVar[tuple[str, ...]] = CLASSES
    optional_classes: ClassVar[frozenset[str]] = frozenset()  # of units that a core may lack

    name: str
    emulated: str
    pipeline: Constants
    memory: Constants
    cluster: Constants
    classes: Mapping[str, InstructionClass]

    @field_validator("pipeline")
    @classmethod
    def _whole_pipeline(cls, given: Constants) -> Constants:
        _require(given, cls.pipeline_names)
        return given

    @field_validator("memory")
    @classmethod
    def _whole_memory(cls, given: Constants) -> Constants:
        _require(given, MEMORY)
        return given

    @field_validator("cluster")
    @classmethod
    def _whole_cluster(cls, given: Constants) -> Constants:
        _require(given, CLUSTER)
        return given

    @field_validator("classes")
    @classmethod
    def _all_classes(cls, given: Mapping[str, InstructionClass]) -> Mapping[str, InstructionClass]:
        _require(given, cls.class_names, cls.optional_classes)
        return given

    @property
    def cores(self) -> int:
        """How many threads may run at once."""
        return round(self.cluster["cores"].value)

    @property
    def judged_threads(self) -> int:
        """How many threads' times are near published ones: a board may have so many."""
        return self.cores

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits: of the model at a clock of 1 GHz and of the C files that run it."""
        digest = hashlib.sha256()
        for name, text in sorted(self.sources(1e9).items()):
            digest.update(f"{name}\0{text}\0".encode())
        return digest.hexdigest()[:12]

    def with_memory(self, **values: float) -> Self:
        """The same core with other constants of its memory system; raises KeyError for one it has not."""
        changed = {
            name: Constant(value=value, unit=self.memory[name].unit, source="assumed: varied")
            for name, value in values.items()
        }
        return type(self).model_validate({**self.model_dump(), "memory": {**self.memory, **changed}})

    def with_assumed(self, what: str, factor: float) -> Self:
        """The same core with a part of `ASSUMED` at so many times its value, where its source says `assumed`.

        Cycles and counts are rounded to whole ones.
        """
        content = self.model_dump()
        for name in ASSUMED_MEMORY.get(what, ()):
            constant = content["memory"][name]
            if constant["source"].startswith("assumed"):
                value = constant["value"] * factor
                constant["value"] = value if name in ("latency_s", "bytes_per_s") else round(value)
        for row in content["classes"].values():
            for field in ASSUMED_CLASSES.get(what, ()):
                if row["source"].startswith("assumed"):
                    row[field] = _scaled(row[field], factor)
        return type(self).model_validate(content)

    def sources(self, clock_hz: float) -> dict[str, str]:
        """The C files of the plugin with this model at that clock."""
        return {**self._texts(), HEADER: self._header(clock_hz)}

    def _texts(self) -> dict[str, str]:
        """The C files besides the generated one, by name."""
        paths = sorted((*CLOCK_DIRECTORY.glob("*.c"), *CLOCK_DIRECTORY.glob("*.h"), INTERFACE))
        return {path.name: path.read_text(encoding="utf-8") for path in paths}

    def _rows(self, groups: list[str], units: list[str]) -> list[str]:
        """The C lines of the table of classes."""
        return [
            f"    [CLASS_{name.upper()}] = {{{', '.join(_row(row, form, groups, units) for form in (0, 1))}}},"
            for name, row in self.classes.items()
        ]

    def _definitions(self) -> list[str]:
        """C lines that stand before the table."""
        return [f"enum {{ {', '.join(f'CLASS_{name.upper()}' for name in self.classes)}, CLASS_COUNT }};"]

    def _header(self, clock_hz: float) -> str:
        memory = {name: constant.value for name, constant in self.memory.items()}
        line, l1, l2 = memory["line_bytes"], memory["l1_bytes"], memory["l2_bytes"]
        numbers = {
            **{name: constant.value for name, constant in self.pipeline.items()},
            **{name: value for name, value in memory.items() if name not in ("latency_s", "bytes_per_s")},
            "l1_sets": l1 / line / memory["l1_ways"],
            "l2_sets": l2 / line / memory["l2_ways"],
            "memory_cycles": memory["latency_s"] * clock_hz,
            "cores": self.cluster["cores"].value,
            "ahead_cycles": self.cluster["ahead_cycles"].value,
            "wake_cycles": self.cluster["wake_s"].value * clock_hz,
            "waking_cycles": self.cluster["waking_s"].value * clock_hz,
            "cycles_per_line": line / memory["bytes_per_s"] * clock_hz,
        }
        groups = sorted({row.group for row in self.classes.values()})
        units = [NO_UNIT, *sorted({row.unit for row in self.classes.values()} - {NO_UNIT})]
        quoted = ", ".join(f'"{group}"' for group in groups)
        return "\n".join(
            [
                f"/* The model of a {self.name}: generated. */",
                "#ifndef EXPLORE_CORE_MODEL_H",
                "#define EXPLORE_CORE_MODEL_H",
                *(f"#define {name.upper()} {round(value)}" for name, value in numbers.items()),
                f"#define CLOCK_HZ {clock_hz!r}",
                f"enum {{ UNITS = {len(units)}, GROUPS = {len(groups)} }};",
                f"#define GROUP_NAMES {{{quoted}}}",
                *self._definitions(),
                '#include "instruction.h"',
                "static const instruction_class CLASSES[CLASS_COUNT][2] __attribute__((unused)) = {",
                *self._rows(groups, units),
                "};",
                "#endif",
                "",
            ]
        )


Model = TypeVar("Model", bound=CoreModel)


def load_core(name: str) -> CoreModel:
    """The model of a core in 64-bit state by its compiler's name; raises ProfileError as `load_model`."""
    return load_model(CoreModel, CORE_DIRECTORY, name)


def known_cores() -> tuple[str, ...]:
    """Names of the cores that there are models of in 64-bit state."""
    return models_in(CORE_DIRECTORY)


def load_model(kind: type[Model], directory: Path, name: str) -> Model:
    """A model of a directory; raises ProfileError listing those that there are, or for a damaged file."""
    path = directory / f"{name}.toml"
    if not path.is_file():
        raise ProfileError(f"no model of a core {name!r}; there are: {', '.join(models_in(directory))}")
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return kind.model_validate(content)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ProfileError(f"core model {path}: {error}") from error


def models_in(directory: Path) -> tuple[str, ...]:
    """Names of the models of a directory."""
    return tuple(sorted(path.stem for path in directory.glob("*.toml")))


def _require(
    given: Mapping[str, Any], wanted: tuple[str, ...], optional: frozenset[str] = frozenset()
) -> None:
    lacking, foreign = sorted(set(wanted) - optional - set(given)), sorted(set(given) - set(wanted))
    if lacking or foreign:
        raise ValueError(f"lacking: {', '.join(lacking) or 'none'}; unknown: {', '.join(foreign) or 'none'}")


def _scaled(value: Forms, factor: float) -> Forms:
    if isinstance(value, int):
        return round(value * factor)
    return round(value[0] * factor), round(value[1] * factor)


def _row(row: InstructionClass, form: int, groups: list[str], units: list[str]) -> str:
    numbers = {"group": groups.index(row.group), "unit": units.index(row.unit), **row.form(form)}
    return "{" + ", ".join(f".{name} = {value}" for name, value in numbers.items()) + "}"
