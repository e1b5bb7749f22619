"""Device profiles: every constant of a board in one TOML file, each with its unit and its source."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection
from functools import cached_property, reduce
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from codegen.canonical import content_hash
from codegen.suggestion import unknown
from codegen.target import SMALLEST_L1D_BYTES, GpuMemory, Target
from microbench.errors import ProfileError

CPU_CACHES = ("l1d_bytes", "l2_bytes")
PROFILE_DIRECTORY = Path(__file__).parent / "profiles"
_WITH_VARIANTS = re.compile(r"(?P<name>[^:]+|.+\.toml)(?P<variants>(:[a-z0-9-]+)*)")


class Constant(BaseModel):
    """A number with its unit and where it is from: a source that gives it, `fitted on ...` where the times of whole
    programs do, `assumed` where nothing does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    unit: str
    source: str

    @property
    def certain(self) -> bool:
        """Whether a source gives the number itself."""
        return not self.source.startswith(("assumed", "fitted"))


Constants = dict[str, Constant]


class Variant(BaseModel):
    """Other values of some constants of the GPU, where boards may differ or published times do not decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    v3d: dict[str, float] = Field(min_length=1)


class DeviceProfile(BaseModel):
    """A board's constants. `v3d` and `cpu_costs` are empty where the board has no QPUs or its CPU is timed for real.

    The hash covers values that times depend on, not sources: rewording a source does not invalidate samples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    board: str = Field(
        min_length=1,
        description="any registered board: what opens where the user names none; ssh: one that can be reached",
    )
    board_options: dict[str, Any] = Field(default={}, description="options of that board's own")
    cpu: str
    cores: int = Field(ge=0, description="0: as many as the machine lets this process use")
    compiler_target: str = Field(description="zig target triple; empty: this machine's own compiler")
    compiler_flags: tuple[str, ...] = ()
    launch_limit_s: float = 0.8
    gpu_memory_bytes: int = 0
    v3d: Constants = {}
    cpu_costs: Constants = {}
    cpu_caches: Constants = Field(
        default={},
        description="of the CPU: l1d_bytes, l2_bytes where it has a second level of its own; none: a small first one",
    )
    threads: Constants = Field(
        default={}, description="what it costs to share layers between threads: wake_s, spin_s; none: nothing"
    )
    power: Constants = Field(
        default={},
        description="what the board draws: idle_w, core_w and qpu_w more for each that works, memory_j_per_byte; none: "
        "not known",
    )
    robust_against: tuple[str, ...] = Field(
        default=(), description="variants that a plan should do well under besides the profile itself"
    )
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")], Variant] = Field(
        default={}, description="by what follows the device's name and a colon"
    )
    qpus_used: int | None = Field(
        default=None, ge=1, description="QPUs that programs use; none: all there are"
    )

    @field_validator("cpu_caches")
    @classmethod
    def _known_caches(cls, caches: Constants) -> Constants:
        unknown = sorted(set(caches) - set(CPU_CACHES))
        if unknown:
            raise ValueError(f"no cache is called {', '.join(unknown)}; known: {', '.join(CPU_CACHES)}")
        return caches

    @model_validator(mode="after")
    def _variants_change_constants(self) -> Self:
        for name, variant in self.variants.items():
            unknown = sorted(set(variant.v3d) - set(self.v3d))
            if unknown:
                raise ValueError(f"variant {name!r} changes {', '.join(unknown)}, which [v3d] does not have")
        unknown = sorted(set(self.robust_against) - set(self.variants))
        if unknown:
            raise ValueError(f"robust_against names {', '.join(unknown)}, which is no variant")
        return self

    @cached_property
    def hash(self) -> str:
        numbers = {
            group: {name: constant.value for name, constant in constants.items()}
            for group, constants in (("v3d", self.v3d), ("cpu_costs", self.cpu_costs))
        }
        for group, constants in (("cpu_caches", self.cpu_caches), ("threads", self.threads)):
            if constants:
                numbers[group] = {name: constant.value for name, constant in constants.items()}
        used = [self.qpus_used] if self.qpus_used else []
        return content_hash([self.name, self.cpu, self.launch_limit_s, self.gpu_memory_bytes, numbers, *used])

    def v3d_value(self, name: str) -> float:
        """A constant of the GPU; raises ProfileError when the profile lacks it."""
        return self._value(self.v3d, "v3d", name)

    @property
    def memory_bytes_per_s(self) -> float:
        """What all engines of the GPU together move to and from memory; raises ProfileError as `v3d_value`."""
        own = self.v3d_value("memory_bytes_per_cycle") * self.v3d_value("clock_hz")
        return min(own, self.v3d_value("sdram_bytes_per_s"))

    def cpu_cost(self, name: str) -> float:
        """A constant of the CPU's cost table; raises ProfileError when the profile lacks it."""
        return self._value(self.cpu_costs, "cpu_costs", name)

    def power_value(self, name: str) -> float:
        """What some part of the board draws; raises ProfileError when the profile lacks it."""
        return self._value(self.power, "power", name)

    def thread_value(self, name: str) -> float:
        """What threads cost; 0 where the profile says nothing of it."""
        return self.threads[name].value if name in self.threads else 0.0

    def _value(self, constants: Constants, group: str, name: str) -> float:
        if name not in constants:
            raise ProfileError(
                f"profile {self.name!r} has no constant {group}.{name}; add it with unit and source"
            )
        return constants[name].value

    def with_v3d(self, **overrides: float) -> DeviceProfile:
        """The same board with some GPU constants replaced (`--v3d-hz`, sensitivity runs)."""
        changed = dict(self.v3d)
        for name, value in overrides.items():
            old = changed.get(name)
            if old is None:
                raise ProfileError(
                    f"profile {self.name!r} has no constant v3d.{name} to replace; take a device with QPUs, or leave "
                    "the option out"
                )
            changed[name] = Constant(value=value, unit=old.unit, source="override by the user")
        # Not model_copy: that would carry a hash already computed over to the changed constants.
        return DeviceProfile.model_validate({**self.model_dump(), "v3d": changed})

    @property
    def gpu_memory(self) -> GpuMemory | None:
        """How the GPU's memory is allocated; None where there is no GPU."""
        if not self.v3d:
            return None
        return "cached" if self.v3d_value("memory_is_cached") else "direct"

    @property
    def gpu_memories(self) -> tuple[GpuMemory, ...]:
        """How the GPU's memory can be allocated on this board, the usual way first."""
        if not self.v3d:
            return ()
        return ("direct", "cached") if self.v3d_value("system_l2_bytes") else ("direct",)

    def with_gpu_memory(self, gpu_memory: GpuMemory) -> DeviceProfile:
        """The same board with memory allocated so; raises ProfileError where it cannot be."""
        if gpu_memory not in self.gpu_memories:
            ways = " or ".join(self.gpu_memories) or "it has none"
            raise ProfileError(
                f"device {self.name!r}: GPU memory cannot be {gpu_memory} ({ways}); leave out --gpu-memory, or "
                "gpu_memory in a job file"
            )
        return self.with_v3d(memory_is_cached=float(gpu_memory == "cached"))

    def with_variant(self, name: str) -> DeviceProfile:
        """The same board as one of its variants has it, named so; raises ProfileError listing the known ones."""
        if name not in self.variants:
            raise ProfileError(
                f"device {self.name!r} has no variant {name!r}; it has: {', '.join(self.variants) or 'none'}"
            )
        variant = self.variants[name]
        changed = {
            constant: Constant(value=value, unit=self.v3d[constant].unit, source=variant.source)
            for constant, value in variant.v3d.items()
        }
        return DeviceProfile.model_validate(
            {**self.model_dump(), "name": f"{self.name}:{name}", "v3d": {**self.v3d, **changed}}
        )

    def with_qpus(self, count: int) -> DeviceProfile:
        """The same board, of which programs use that many QPUs; raises ProfileError where it has not as many."""
        there = int(self.v3d_value("qpus")) if self.v3d else 0
        if not 1 <= count <= there:
            raise ProfileError(f"device {self.name!r} has {there} QPUs; {count} of them cannot be used")
        return DeviceProfile.model_validate({**self.model_dump(), "qpus_used": count})

    def target(self) -> Target:
        """What code generation needs to know of this board."""
        has_v3d = bool(self.v3d)
        caches = {name: int(constant.value) for name, constant in self.cpu_caches.items()}
        return Target(
            name=self.name,
            qpus=(self.qpus_used or int(self.v3d_value("qpus"))) if has_v3d else 0,
            cpu=self.cpu,
            compiler=(self.compiler_target, *self.compiler_flags),
            cores=self.cores or usable_cores(),
            v3d_clock_hz=self.v3d_value("clock_hz") if has_v3d else 0.0,
            gpu_memory_bytes=self.gpu_memory_bytes,
            launch_limit_s=self.launch_limit_s,
            l2_bytes=int(self.v3d_value("l2_bytes")) if has_v3d else 0,
            cpu_l1d_bytes=caches.get("l1d_bytes", SMALLEST_L1D_BYTES),
            cpu_l2_bytes=caches.get("l2_bytes", 0),
        )


def usable_cores() -> int:
    """How many cores of this machine this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def known_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the project."""
    return tuple(sorted(path.stem for path in PROFILE_DIRECTORY.glob("*.toml")))


def split_variants(device: str) -> tuple[str, tuple[str, ...]]:
    """The name or file of a device, and the variants that follow it, each after a colon: `pi-zero:uniform-0`."""
    match = _WITH_VARIANTS.fullmatch(device)
    if match is None:
        return device, ()
    return match["name"], tuple(match["variants"].split(":")[1:])


def load_profile(name_or_path: str) -> DeviceProfile:
    """A built-in profile by name, or one from a `.toml` file, with the variants that are named behind it.

    Raises ProfileError listing the known ones.
    """
    name, variants = split_variants(name_or_path)
    return reduce(DeviceProfile.with_variant, variants, _read_profile(name))


def unknown_device(name: str, others: Collection[str] = (), place: Path | None = None) -> str:
    """What to say of a name that is no profile's, nor one of `others`, boards of the file `place`: the nearest, and all
    there are.
    """
    boards = f" boards of {place}: {', '.join(sorted(others))};" if others else ""
    known = f"known devices: {', '.join(known_profiles())} (or a profile file *.toml)"
    return f"unknown device {unknown(name, [*others, *known_profiles()])}{boards} {known}"


def _read_profile(name_or_path: str) -> DeviceProfile:
    path = (
        Path(name_or_path) if name_or_path.endswith(".toml") else PROFILE_DIRECTORY / f"{name_or_path}.toml"
    )
    if not path.is_file():
        if name_or_path.endswith(".toml"):
            raise ProfileError(f"there is no profile {path}; name a file that is there, or a known device")
        raise ProfileError(unknown_device(name_or_path))
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return DeviceProfile.model_validate(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"profile {path}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProfileError(f"profile {path}: {place}: {first['msg']}") from error
