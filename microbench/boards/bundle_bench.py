"""Runs a bundle's bench program and reads its report (described at the top of the bundle's main.c)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from codegen.bundle.entries import parts_of
from codegen.bundle.manifest import Manifest, bundle_sources, read_manifest
from codegen.bundle.pool import pool_flags
from codegen.bundle.two_plans import CPU_WEIGHTS
from codegen.engines.cpu.toolchain import (
    KERNEL_FLAGS,
    LIBRARIES,
    compile_executable,
    compile_object,
    takes_objects,
)
from codegen.errors import ToolchainError
from codegen.old_forms import engine_of
from codegen.plan import PlanTensor
from codegen.target import Target
from codegen.tensor import AnyArray
from microbench.boards.execution import Executor
from microbench.boards.subprocesses import Ended
from microbench.errors import BoardError, CandidateError, HazardError

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

BUNDLE_LIMIT_S = 600.0
BUNDLE_RUNS, BUNDLE_WARMUP = 5, 1

EXIT_LAUNCH_FAILED = 3
DATA_FILES = ("weights.bin", "model.qpu", CPU_WEIGHTS)
INPUT, OUTPUT, REPORT = "input.bin", "output.bin", "report.json"

Times = tuple[float | None, ...]


class StepReport(BaseModel):
    """Times of one step, one per run; None where a step of a launch cannot be told from the others."""

    model_config = ConfigDict(frozen=True)

    name: str
    engine: str
    launch: int
    times_s: Times


class LaunchReport(BaseModel):
    """Times of one launch, one per run."""

    model_config = ConfigDict(frozen=True)

    times_s: tuple[float, ...]


class BenchReport(BaseModel):
    """The report of a bench program."""

    model_config = ConfigDict(frozen=True)

    format: Literal[3]
    model: str
    platform: str
    gpu_kind: Literal["none", "silicon", "simulated"]
    without_gpu: str | None = None
    runs: int
    total_s: tuple[float, ...]
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    arena_bytes: int
    gpu_bytes: int
    steps: tuple[StepReport, ...]
    launches: tuple[LaunchReport, ...]
    counters: dict[str, float]

    @model_validator(mode="before")
    @classmethod
    def _of_format_2(cls, content: Any) -> Any:
        """Bundles that were compiled when a step had a processor write that: it is brought to today's form."""
        if not isinstance(content, dict) or content.get("format") != 2:
            return content
        steps = [
            {**step, "engine": engine_of(step.get("processor", ""))} for step in content.get("steps", ())
        ]
        return {**content, "format": 3, "steps": steps}


def run_bench(
    executor: Executor,
    executable: Path,
    bundle: Path,
    manifest: Manifest,
    inputs: Sequence[AnyArray],
    *,
    runs: int,
    warmup: int,
    limit_s: float,
    may_lack_gpu: bool = False,
) -> tuple[tuple[AnyArray, ...], BenchReport]:
    """Outputs of the last run (flat, NCHW) and the report; `may_lack_gpu`: also where the plan for the CPU that the
    bundle carries ran instead, which is logged.

    Raises HazardError where the GPU stopped a launch, CandidateError where the program died or hung,
    BoardError where inputs do not fit or the platform could not be opened.
    """
    _check_inputs(bundle, manifest, inputs)
    files = data_files(bundle, manifest)
    files[INPUT] = b"".join(_file_bytes(value) for value in inputs)
    names = ("--bundle", ".", "--input", INPUT, "--output", OUTPUT, "--report", REPORT)
    arguments = (*names, "--runs", str(runs), "--warmup", str(warmup))
    finished = executor.execute(executable, arguments, files, (OUTPUT, REPORT), limit_s)
    check_end(finished.ended, bundle)
    outputs = _outputs(finished.outputs.get(OUTPUT, b""), bundle, manifest)
    report = _report(finished.outputs.get(REPORT, b""), bundle)
    if report.without_gpu is not None:
        if not may_lack_gpu:
            raise BoardError(f"bundle {bundle}: its plan for the QPUs did not run: {report.without_gpu}")
        log.warning("bundle %s: its plan for the CPU ran: %s", bundle, report.without_gpu)
    return outputs, report


def time_bundle(
    executor: Executor,
    target: Target,
    bundle: Path,
    platform: str,
    inputs: tuple[AnyArray, ...],
    runs: int = BUNDLE_RUNS,
) -> tuple[tuple[AnyArray, ...], BenchReport]:
    """Builds a bundle for a target and one of its platforms, and times it `runs` times after a warm-up; with the
    platform `none`, the plan for the CPU that it may carry.

    Raises BoardError where it cannot be built, otherwise as `run_bench`.
    """
    manifest = read_manifest(bundle)
    try:
        flags = (*KERNEL_FLAGS, *pool_flags(manifest.files))
        executable = _built(bundle_sources(bundle, manifest, platform), target, flags)
    except ToolchainError as error:
        raise BoardError(f"bundle {bundle}: {error}") from error
    return run_bench(
        executor,
        executable,
        bundle,
        manifest,
        inputs,
        runs=runs,
        warmup=BUNDLE_WARMUP,
        limit_s=BUNDLE_LIMIT_S,
        may_lack_gpu=platform == "none",
    )


def _built(sources: Mapping[str, str], target: Target, flags: tuple[str, ...]) -> Path:
    """The program of these sources. Its kernels, each compiled as if it were alone anyway, are taken out where that
    saves compiling those that were measured, or that another plan had.
    """
    if not takes_objects(target):
        return compile_executable(sources, target, flags)
    parts = {name: parts_of(text) for name, text in sources.items()}
    kernels = dict.fromkeys(kernel for part in parts.values() for kernel in part.kernels)
    objects = [str(compile_object({"kernel.c": kernel}, target, KERNEL_FLAGS)) for kernel in kernels]
    rest = {name: part.rest for name, part in parts.items()}
    return compile_executable(rest, target, flags, (*objects, *LIBRARIES))


def data_files(bundle: Path, manifest: Manifest) -> dict[str, bytes]:
    """What a bundle's programs read, by name; raises BoardError where it cannot be read."""
    return {name: _content(bundle / name) for name in DATA_FILES if name in manifest.files}


def check_end(ended: Ended, bundle: Path) -> None:
    """Raises HazardError where the GPU stopped a launch, CandidateError where the program died or hung, BoardError for
    everything else that is no good end.
    """
    if ended.exit_code == EXIT_LAUNCH_FAILED:
        raise HazardError(f"bundle {bundle}: {ended.complaint}")
    if ended.exit_code is None or ended.exit_code < 0:
        raise CandidateError(f"bundle {bundle}: the program {ended.complaint}")
    if not ended.is_good:
        raise BoardError(f"bundle {bundle}: {ended.complaint}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BoardError(f"{path} cannot be read: {error.strerror}; compile the plan again") from error


def elements(tensor: PlanTensor) -> int:
    """Number of elements of a network's input or output."""
    return int(np.prod(tensor.shape, dtype=np.int64))


def _check_inputs(bundle: Path, manifest: Manifest, inputs: Sequence[AnyArray]) -> None:
    wanted = tuple((elements(tensor), tensor.dtype) for tensor in manifest.inputs)
    given = tuple((value.size, str(value.dtype)) for value in inputs)
    if wanted != given:
        raise BoardError(f"bundle {bundle}: its inputs have {_counted(wanted)}, given {_counted(given)}")


def _counted(tensors: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{size} of {dtype}" for size, dtype in tensors) or "none"


def _file_bytes(value: AnyArray) -> bytes:
    return value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()


def _outputs(content: bytes, bundle: Path, manifest: Manifest) -> tuple[AnyArray, ...]:
    wanted = sum(tensor.type.size_bytes for tensor in manifest.outputs)
    if len(content) != wanted:
        raise BoardError(f"bundle {bundle}: its program wrote {len(content)} bytes of outputs, not {wanted}")
    outputs: list[AnyArray] = []
    offset = 0
    for tensor in manifest.outputs:
        dtype = tensor.type.element_type.dtype
        values = np.frombuffer(content, dtype.newbyteorder("<"), elements(tensor), offset)
        outputs.append(values.astype(dtype))
        offset += tensor.type.size_bytes
    return tuple(outputs)


def _report(content: bytes, bundle: Path) -> BenchReport:
    try:
        return BenchReport.model_validate_json(content)
    except ValidationError as error:
        raise BoardError(f"bundle {bundle}: its program wrote no valid report: {error}") from error
