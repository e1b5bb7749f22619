"""From a fused graph and a plan to a directory of files; the same plan and weights give the same bytes."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from codegen.bundle.build_files import (
    COMMON_HEADERS,
    VIRTUAL,
    build_of,
    build_script_text,
    cmake_text,
    makefile_text,
)
from codegen.bundle.examples import EXAMPLES, example_programs
from codegen.bundle.header import header_text, interface_element
from codegen.bundle.image_file import image_file, weight_words
from codegen.bundle.manifest import (
    MANIFEST_NAME,
    SUMS_NAME,
    CpuPlanEntry,
    GpuEntry,
    Manifest,
    RegionEntry,
    WeightsEntry,
    file_entry,
)
from codegen.bundle.model import Model, compose
from codegen.bundle.readme import README_NAME, readme_text
from codegen.bundle.source import model_text
from codegen.bundle.two_plans import CPU_SOURCE, CPU_WEIGHTS, TWO_PLANS_FILES, two_plans_texts
from codegen.engines.cpu.toolchain import runtime_source
from codegen.errors import BundleError
from codegen.graph import Graph
from codegen.memory_space import HOST_MEMORY
from codegen.plan import Plan, plan_hash, plan_text
from codegen.program import Region
from codegen.target import Target

RUNTIME_FILES = (
    "bench_report.c",
    "frame_queue.c",
    "main.c",
    "platform_mailbox.c",
    "platform_none.c",
    "stream.c",
    "stream_report.c",
)
WEIGHTS_MAGIC = b"EXPLWTS1"
WEIGHTS_VERSION = 1
NOTHING: Mapping[str, str] = MappingProxyType({})
OPTIONAL_FILES = (MANIFEST_NAME, SUMS_NAME, "model.qpu", "pool.h", *EXAMPLES, *TWO_PLANS_FILES)


def compile_bundle(
    graph: Graph,
    plan: Plan,
    target: Target,
    directory: Path,
    virtual: Mapping[str, str] = NOTHING,
    cpu_plan: Plan | None = None,
) -> Manifest:
    """Writes the bundle of a plan and returns its manifest; `graph` is the fused graph the plan was made for.

    `virtual`: C files and headers by name of a platform that stands for the GPU on any machine, a directory of the
    bundle where the plan uses the GPU. `cpu_plan`: one of the same network for the CPU alone, which the bundle carries
    too and uses where the GPU is not to be had.

    Raises PlanError where a plan does not fit the graph or the board, LinkError where its GPU part does not fit
    the GPU's memory, BundleError where files cannot be written.
    """
    cpu_model = compose(graph, cpu_plan, target) if cpu_plan else None
    return write_bundle(compose(graph, plan, target), target, directory, virtual, cpu_model)


def write_bundle(
    model: Model,
    target: Target,
    directory: Path,
    virtual: Mapping[str, str] = NOTHING,
    cpu_model: Model | None = None,
) -> Manifest:
    """Writes the bundle of models composed for the target, otherwise as `compile_bundle`; raises BundleError where
    files cannot be written.
    """
    files = _files(model, target, virtual, cpu_model)
    manifest = _manifest(model, files, cpu_model)
    content = manifest.text().encode()
    _write(directory, {**files, MANIFEST_NAME: content, SUMS_NAME: manifest.sums_text(content).encode()})
    return manifest


def _files(
    model: Model, target: Target, virtual: Mapping[str, str], cpu_model: Model | None
) -> dict[str, bytes]:
    platform = "mailbox" if model.image is not None else "none"
    threads = max(one.sections.threads for one in (model, cpu_model) if one is not None)
    headers = (*COMMON_HEADERS, *(("pool.h",) if threads > 1 else ()))
    texts = {
        **({"model.c": model_text(model)} if cpu_model is None else two_plans_texts(model, cpu_model)),
        "model.h": header_text(
            model.identifier, interface_element(model.plan), has_gpu=model.image is not None
        ),
        "plan.json": plan_text(model.plan),
        **{name: runtime_source(name) for name in (*RUNTIME_FILES, *headers) if name != "model.h"},
        **example_programs(model.plan),
    }
    if model.image is not None:
        texts |= {f"{VIRTUAL}/{name}": text for name, text in virtual.items()}
    files = {"weights.bin": weights_file(model)}
    if cpu_model is not None:
        files[CPU_WEIGHTS] = weights_file(cpu_model)
    build = build_of(target, platform, texts)
    second = (
        _cpu_plan_entry(cpu_model, {CPU_SOURCE: texts[CPU_SOURCE].encode(), **files}) if cpu_model else None
    )
    texts |= {
        "Makefile": makefile_text(build),
        "build.sh": build_script_text(build),
        "CMakeLists.txt": cmake_text(build),
        README_NAME: readme_text(model, build, second),
    }
    files |= {name: text.encode() for name, text in texts.items()}
    if model.image is not None:
        files["model.qpu"] = image_file(model.image, model.plan_id)
    return dict(sorted(files.items()))


def weights_file(model: Model) -> bytes:
    """weights.bin, as codegen/engines/cpu/runtime/bundle.c describes it."""
    launched = weight_words(model.image) if model.image is not None else b""
    called = model.sections.packed_weights
    body = launched.ljust(HOST_MEMORY.taken_bytes(len(launched)), b"\0") + called
    header = struct.pack(
        "<8s2I8s2I",
        WEIGHTS_MAGIC,
        WEIGHTS_VERSION,
        zlib.crc32(body),
        model.plan_id,
        len(launched),
        len(called),
    )
    return header.ljust(HOST_MEMORY.alignment_bytes, b"\0") + body


def _manifest(model: Model, files: Mapping[str, bytes], cpu_model: Model | None) -> Manifest:
    plan, sections = model.plan, model.sections
    return Manifest(
        model_name=plan.model_name,
        identifier=model.identifier,
        device=plan.device,
        plan_sha256=plan_hash(plan),
        inputs=plan.inputs,
        outputs=plan.outputs,
        steps=tuple(step.name for step in plan.steps),
        arena_bytes=model.memory.arena_bytes,
        cpu_weights=tuple(
            WeightsEntry(
                step=plan.steps[task].name,
                offset_bytes=offset,
                size_bytes=sections.programs[task].weights.nbytes,
            )
            for task, offset in sections.weight_offsets.items()
        ),
        gpu=_gpu_entry(model),
        cpu_plan=None if cpu_model is None else _cpu_plan_entry(cpu_model, files),
        files={name: file_entry(content) for name, content in files.items()},
    )


def _cpu_plan_entry(model: Model, files: Mapping[str, bytes]) -> CpuPlanEntry:
    return CpuPlanEntry(
        plan_sha256=plan_hash(model.plan),
        steps=tuple(step.name for step in model.plan.steps),
        source_bytes=len(files[CPU_SOURCE]),
        weights_bytes=len(files[CPU_WEIGHTS]),
        arena_bytes=model.memory.arena_bytes,
    )


def _gpu_entry(model: Model) -> GpuEntry | None:
    image = model.image
    if image is None:
        return None
    return GpuEntry(
        size_bytes=image.size_bytes,
        activation_bytes=model.memory.gpu_bytes,
        weights_offset_bytes=image.weights_offset_bytes,
        launches=tuple(launch.layers for launch in image.launches),
        inputs=_regions(image.inputs),
        outputs=_regions(image.outputs),
    )


def _regions(regions: Sequence[Region]) -> tuple[RegionEntry, ...]:
    return tuple(
        RegionEntry(name=region.name, offset_bytes=region.offset_bytes, size_bytes=region.size_bytes)
        for region in regions
    )


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Each file whole or not at all, manifest and sums last: a bundle whose sums are right is complete."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in OPTIONAL_FILES:
            (directory / name).unlink(missing_ok=True)
        shutil.rmtree(directory / VIRTUAL, ignore_errors=True)
        for name, content in files.items():
            (directory / name).parent.mkdir(exist_ok=True)
            _replace(directory / name, content)
        (directory / "build.sh").chmod(0o755)
    except OSError as error:
        raise BundleError(
            f"bundle {directory} cannot be written: {error.strerror or error}; free some space, or name "
            "another directory"
        ) from error


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
