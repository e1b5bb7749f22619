"""From a fused graph and a plan to a directory of files; the same plan and weights give the same bytes."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from codegen.bundle.build_files import COMMON_HEADERS, build_script_text, makefile_text
from codegen.bundle.gpu import image_file, link_tasks, weight_words
from codegen.bundle.header import header_text
from codegen.bundle.kernels import Kernels, emit_kernels
from codegen.bundle.launches import launches_of
from codegen.bundle.lives import gpu_activations, gpu_buffers
from codegen.bundle.manifest import (
    MANIFEST_NAME,
    GpuEntry,
    Manifest,
    RegionEntry,
    WeightsEntry,
    file_entry,
)
from codegen.bundle.memory import plan_memory
from codegen.bundle.names import model_identifier
from codegen.bundle.source import Model, model_text
from codegen.bundle.tasks import Schedule, schedule_of
from codegen.canonical import content_hash
from codegen.chains import chain_nodes
from codegen.engine_registry import engine_named
from codegen.engines.cpu.source import round_up
from codegen.engines.cpu.toolchain import runtime_source
from codegen.errors import BundleError, PlanError
from codegen.graph import Graph, LayerSpec
from codegen.memory_space import GPU
from codegen.operators.relayout import Relayout
from codegen.plan import Plan, plan_hash, plan_text
from codegen.program import GpuProgram, Region
from codegen.target import Target
from codegen.tensor import FloatArray

RUNTIME_FILES = (
    "bench_report.c",
    "main.c",
    "platform_mailbox.c",
    "platform_none.c",
)
WEIGHTS_MAGIC = b"EXPLWTS1"
WEIGHTS_VERSION = 1
LINE_BYTES = 64
OPTIONAL_FILES = (MANIFEST_NAME, "model.qpu", "pool.h")


def compile_bundle(graph: Graph, plan: Plan, target: Target, directory: Path) -> Manifest:
    """Writes the bundle of a plan and returns its manifest; `graph` is the fused graph the plan was made for.

    Raises PlanError where the plan does not fit the graph or the board, LinkError where its GPU part does not fit
    the GPU's memory, BundleError where files cannot be written.
    """
    weights = weights_of_steps(graph, plan)
    schedule = schedule_of(plan)
    launches = launches_of(schedule, target)
    for engine in plan.engines:
        if not engine.is_on(target):
            raise PlanError(
                f"the plan has steps on engine {engine.name!r}, which device {target.name!r} does not have; "
                f"compile it for {plan.device!r}, or make a plan for {target.name!r}"
            )
    _check_memories(schedule)
    activations = gpu_activations(schedule)
    gpu = link_tasks(schedule, launches, activations, target, weights) if launches else None
    identifier = model_identifier(plan.model_name)
    kernels = emit_kernels(schedule, target, weights, identifier)
    workspaces = {task: program.workspace_bytes for task, program in kernels.programs.items()}
    start = gpu.size_bytes - activations.size_bytes if gpu else 0
    memory = plan_memory(schedule, workspaces, activations, start)
    plan_id = bytes.fromhex(plan_hash(plan))[:8]
    model = Model(identifier, plan, plan_id, schedule, launches, kernels, memory, gpu)
    files = _files(model, target)
    manifest = _manifest(model, files)
    _write(directory, {**files, MANIFEST_NAME: manifest.text().encode()})
    return manifest


def _check_memories(schedule: Schedule) -> None:
    """Raises PlanError where a step would touch GPU memory that its engine cannot."""
    shared = gpu_buffers(schedule)
    for task in schedule.computing:
        engine = engine_named(task.step.choice.engine)
        for names, reached, does in (
            (task.reads, engine.reads, "read"),
            (task.writes, engine.writes, "write"),
        ):
            touched = [name for name in names if schedule.memory_of(name) in shared]
            if touched and GPU not in reached:
                raise PlanError(
                    f"step {task.step.name!r}: engine {engine.name!r} cannot {does} {touched[0]!r}, which lies in GPU "
                    "memory; make a new plan by `explore run`"
                )


def weights_of_steps(graph: Graph, plan: Plan) -> list[tuple[FloatArray, ...]]:
    """The constants of every step; raises PlanError unless every layer is in one step, alone or in a chain."""
    nodes = {node.name: node for node in graph.nodes}
    chains = {chain.node.name: chain for chain in chain_nodes(graph)}
    found: list[tuple[FloatArray, ...]] = []
    planned: set[str] = set()
    for step in plan.steps:
        if isinstance(step.spec.op, Relayout):
            found.append(())
            continue
        chain = chains.get(step.name)
        node = chain.node if chain else nodes.get(step.name)
        if node is None or content_hash(LayerSpec.of(graph, node)) != step.spec_hash:
            raise PlanError(
                f"step {step.name!r} of the plan is no layer of model {graph.name!r}, or another one; "
                "make a new plan by `explore run`"
            )
        if (node.inputs, node.outputs) != (step.inputs, step.outputs):
            raise PlanError(
                f"step {step.name!r} reads or writes other tensors than the model's layer; make a new plan"
            )
        members = graph.nodes[chain.first : chain.last + 1] if chain else (node,)
        twice = [member.name for member in members if member.name in planned]
        if twice:
            raise PlanError(
                f"two steps of the plan compute layer {twice[0]!r}; make a new plan by `explore run`"
            )
        planned.update(member.name for member in members)
        found.append(tuple(value.astype("float32", copy=False) for value in graph.weights_of(node)))
    missing = [name for name in nodes if name not in planned]
    if missing:
        raise PlanError(f"the plan has no step for layer {missing[0]!r}; make a new plan by `explore run`")
    return found


def _files(model: Model, target: Target) -> dict[str, bytes]:
    platform = "mailbox" if model.gpu is not None else "none"
    headers = (*COMMON_HEADERS, *(("pool.h",) if model.kernels.threads > 1 else ()))
    texts = {
        "model.c": model_text(model),
        "model.h": header_text(model.identifier, has_gpu=model.gpu is not None),
        "Makefile": makefile_text(target, platform, headers),
        "build.sh": build_script_text(target, platform, headers),
        "plan.json": plan_text(model.plan),
        **{name: runtime_source(name) for name in (*RUNTIME_FILES, *headers) if name != "model.h"},
    }
    files = {name: text.encode() for name, text in texts.items()}
    files["weights.bin"] = weights_file(model.gpu, model.kernels, model.plan_id)
    if model.gpu is not None:
        files["model.qpu"] = image_file(model.gpu, model.plan_id)
    return dict(sorted(files.items()))


def weights_file(gpu: GpuProgram | None, kernels: Kernels, plan_id: bytes) -> bytes:
    """weights.bin, as codegen/engines/cpu/runtime/bundle.c describes it."""
    for_gpu = weight_words(gpu) if gpu is not None else b""
    for_cpu = kernels.packed_weights()
    body = for_gpu.ljust(round_up(len(for_gpu), LINE_BYTES), b"\0") + for_cpu
    header = struct.pack(
        "<8s2I8s2I",
        WEIGHTS_MAGIC,
        WEIGHTS_VERSION,
        zlib.crc32(body),
        plan_id,
        len(for_gpu),
        len(for_cpu),
    )
    return header.ljust(LINE_BYTES, b"\0") + body


def _manifest(model: Model, files: Mapping[str, bytes]) -> Manifest:
    plan, kernels = model.plan, model.kernels
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
                size_bytes=kernels.programs[task].weights.nbytes,
            )
            for task, offset in kernels.weight_offsets.items()
        ),
        gpu=_gpu_entry(model.gpu, model.memory.gpu_bytes) if model.gpu is not None else None,
        files={name: file_entry(content) for name, content in files.items()},
    )


def _gpu_entry(gpu: GpuProgram, activation_bytes: int) -> GpuEntry:
    return GpuEntry(
        size_bytes=gpu.size_bytes,
        activation_bytes=activation_bytes,
        weights_offset_bytes=gpu.weights_offset_bytes,
        launches=tuple(launch.layers for launch in gpu.launches),
        inputs=_regions(gpu.inputs),
        outputs=_regions(gpu.outputs),
    )


def _regions(regions: Sequence[Region]) -> tuple[RegionEntry, ...]:
    return tuple(
        RegionEntry(name=region.name, offset_bytes=region.offset_bytes, size_bytes=region.size_bytes)
        for region in regions
    )


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Each file whole or not at all, the manifest last: a bundle with a manifest that fits is complete."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in OPTIONAL_FILES:
            (directory / name).unlink(missing_ok=True)
        for name, content in files.items():
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
