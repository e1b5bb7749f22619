"""The plan file: every decision about a network, where it came from and what it should cost. No wall-clock time."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from codegen.canonical import content_hash
from codegen.element_type import FLOAT32
from codegen.engine import Engine
from codegen.engine_registry import engine_named, engines
from codegen.errors import CanonicalFormError, GraphSpecError, PlanError
from codegen.free_name import MARK
from codegen.graph import LayerSpec
from codegen.old_forms import upgraded
from codegen.operators.concat import Concat
from codegen.operators.relayout import Relayout
from codegen.plan_fields import ChoiceField, SpecField
from codegen.schedule import Candidate, Choice
from codegen.spec_check import check_layer
from codegen.target import GpuMemory, WeightType
from codegen.tensor import TensorType
from codegen.views import is_view

PLAN_VERSION: Literal[3] = 3

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlanTensor(_Frozen):
    """An input or output of the network, row-major (NCHW), with the name of its element type."""

    name: str = Field(description="of the tensor, in the model")
    shape: tuple[int, ...] = Field(description="sizes of its axes, outermost first")
    dtype: str = Field(
        default=FLOAT32.name,
        exclude_if=lambda name: name == FLOAT32.name,
        description="name of the type of its elements",
    )

    @property
    def type(self) -> TensorType:
        """Shape and element type."""
        return TensorType(self.shape, self.dtype)


class PlanStep(_Frozen):
    """One layer and how it is computed.

    A step reads each tensor of `inputs` in the layout of the same place of `choice.input_layouts`, and writes `outputs`
    in those of `choice.output_layouts`; a tensor in one layout is a buffer, which only one step writes. A change of
    layout is a step of its own: operator Relayout, the same tensor in and out, named `relayout:<tensor>:<layout>` with
    as many ' behind it as it takes to be the name of no other step.
    """

    name: str = Field(description="of the layer, in the fused network; no two steps have one name")
    summary: str = Field(description="the layer in a line, for people")
    spec: SpecField
    spec_hash: Hash = Field(description="SHA-256 of the canonical JSON of spec")
    inputs: tuple[str, ...] = Field(
        description="names of the tensors that it reads, in the order of spec.inputs"
    )
    outputs: tuple[str, ...] = Field(
        min_length=1, description="names of the tensors that it writes, in the order of spec.outputs"
    )
    choice: ChoiceField
    predicted_s: Seconds = Field(description="seconds that it is expected to take in this place")
    low_s: Seconds = Field(description="lower end, in seconds, of the interval of predicted_s")
    high_s: Seconds = Field(description="upper end, in seconds, of the interval of predicted_s")
    kind: Literal["silicon", "host", "simulated", "modelled"] = Field(description="what the times are")
    sample_ids: tuple[str, ...] = Field(default=(), description="measurements the prediction rests on")
    starts_launch: bool = Field(
        default=False,
        description="the engine is launched anew for this step, although the step before ran on it: memory that "
        "only earlier launches need is free again",
    )
    in_place: bool = Field(
        default=False,
        description="of a concatenation: its inputs were written where its output lies, nothing is computed",
    )

    @classmethod
    def of(
        cls,
        name: str,
        spec: LayerSpec,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        choice: Choice,
        *,
        predicted_s: float,
        low_s: float,
        high_s: float,
        kind: Literal["silicon", "host", "simulated", "modelled"],
        sample_ids: tuple[str, ...] = (),
        starts_launch: bool = False,
        in_place: bool = False,
    ) -> PlanStep:
        """A step with its summary and hash filled in."""
        return cls(
            name=name,
            summary=spec.describe(),
            spec=spec,
            spec_hash=content_hash(spec),
            inputs=inputs,
            outputs=outputs,
            choice=choice,
            predicted_s=predicted_s,
            low_s=low_s,
            high_s=high_s,
            kind=kind,
            sample_ids=sample_ids,
            starts_launch=starts_launch,
            in_place=in_place,
        )

    @property
    def candidate(self) -> Candidate:
        """The layer with its choice: what measurements are keyed by."""
        return Candidate(self.spec, self.choice)

    @property
    def reads(self) -> tuple[str, ...]:
        """The buffers it reads: tensor and layout."""
        return tuple(map(buffer_name, self.inputs, self.choice.input_layouts))

    @property
    def writes(self) -> tuple[str, ...]:
        """The buffers it writes: tensor and layout."""
        return tuple(map(buffer_name, self.outputs, self.choice.output_layouts))

    @property
    def is_view(self) -> bool:
        """Whether it computes nothing: its output is memory that is written already."""
        return self.in_place or is_view(self.spec, self.choice)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if content_hash(self.spec) != self.spec_hash:
            raise ValueError(f"step {self.name!r}: spec_hash is not the hash of its spec")
        if len(self.inputs) != len(self.choice.input_layouts) or len(self.inputs) != len(self.spec.inputs):
            raise ValueError(
                f"step {self.name!r}: inputs, their layouts and the spec's inputs differ in number"
            )
        if not len(self.outputs) == len(self.choice.output_layouts) == len(self.spec.outputs):
            raise ValueError(
                f"step {self.name!r}: outputs, their layouts and the spec's outputs differ in number"
            )
        if not self.low_s <= self.predicted_s <= self.high_s:
            raise ValueError(f"step {self.name!r}: predicted_s lies outside its interval")
        op = self.spec.op
        if isinstance(op, Relayout):
            layouts = (self.choice.input_layouts, self.choice.output_layouts)
            if layouts != ((op.source,), (op.target,)) or self.inputs != self.outputs:
                raise ValueError(f"step {self.name!r}: its layouts or tensors are not those of its Relayout")
            if self.name.rstrip(MARK) != relayout_name(self.outputs[0], op.target):
                raise ValueError(
                    f"step {self.name!r}: a Relayout is named {relayout_name(self.outputs[0], op.target)!r}"
                )
        if self.choice.engine not in engines():
            raise ValueError(
                f"step {self.name!r}: unknown engine {self.choice.engine!r}; known: {', '.join(engines())}; install "
                "the plug-in that brings it"
            )
        if self.starts_launch and (self.is_view or not engine_named(self.choice.engine).launches):
            raise ValueError(f"step {self.name!r}: starts_launch, but nothing of it is launched")
        if self.in_place:
            self._check_in_place()
        return self

    def _check_in_place(self) -> None:
        if not isinstance(self.spec.op, Concat):
            raise ValueError(f"step {self.name!r}: in_place is for concatenations of channels")
        if {*self.choice.input_layouts} != {self.choice.output_layout}:
            raise ValueError(
                f"step {self.name!r}: in_place, but its inputs have other layouts than its output"
            )


class Plan(_Frozen):
    """All decisions about one network on one board, in the order of execution."""

    schema_version: Literal[3] = Field(default=PLAN_VERSION, description="version of the form of this file")
    model_name: str = Field(description="the model's, for people")
    model_sha256: Hash | None = Field(
        description="SHA-256 of what the model says that the plan was made for; a compiler refuses another. Null in a "
        "plan of version 1 or 2, whose hash was of the imported form: then layers are compared, weights are not"
    )
    inputs: tuple[PlanTensor, ...] = Field(description="what the network reads, in nchw")
    outputs: tuple[PlanTensor, ...] = Field(description="what the network computes, in nchw")
    device: str = Field(description="name of the device profile")
    qpus: int | None = Field(default=None, ge=1, description="QPUs in use; null: all that the device has")
    gpu_memory: GpuMemory | None = Field(
        default=None,
        exclude_if=lambda chosen: chosen is None,
        description="cached in the L2 that the system of a BCM2835 has, or past it (direct); null: as the board has it",
    )
    weights: WeightType = Field(
        default="float32",
        exclude_if=lambda chosen: chosen == "float32",
        description="type that weights may be stored as; steps that do so have an axis of that name",
    )
    profile_hash: Hash = Field(description="SHA-256 of the device profile's constants")
    board_fingerprint: Hash = Field(description="SHA-256 of what identifies the board that was measured on")
    seed: int = Field(description="of the search")
    versions: Mapping[str, str] = Field(description="of this program, the simulator, the compiler")
    steps: tuple[PlanStep, ...] = Field(min_length=1, description="in the order of execution")
    predicted_s: Seconds = Field(
        description="seconds that the whole is expected to take: its steps, launches and waking threads"
    )
    low_s: Seconds = Field(description="lower end, in seconds, of the interval of predicted_s")
    high_s: Seconds = Field(description="upper end, in seconds, of the interval of predicted_s")
    peak_activation_bytes: int = Field(
        ge=0,
        description="what a bundle of the plan allocates for activations and workspaces: its share of GPU memory, "
        "guards included, and the CPU's arena; the caller's input and output arrays are not counted",
    )
    cpu_only_predicted_s: Seconds | None = Field(
        default=None,
        description="seconds that the best plan of the same board without its QPUs is expected to take",
    )

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines of its steps, each once."""
        return tuple(map(engine_named, dict.fromkeys(step.choice.engine for step in self.steps)))

    @property
    def is_of_host(self) -> bool:
        """Whether all of it runs on cores of the host."""
        return all(engine.keeps_cores_busy for engine in self.engines)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low_s <= self.predicted_s <= self.high_s:
            raise ValueError("predicted_s lies outside its interval")
        written = {buffer_name(tensor.name, "nchw") for tensor in self.inputs}
        names: set[str] = set()
        for step in self.steps:
            if step.name in names:
                raise ValueError(f"two steps are named {step.name!r}")
            missing = [buffer for buffer in step.reads if buffer not in written]
            if missing:
                raise ValueError(f"step {step.name!r} reads {missing[0]!r}, which no step before it writes")
            for buffer in step.writes:
                if buffer in written:
                    raise ValueError(f"step {step.name!r} writes {buffer!r}, which is written already")
                written.add(buffer)
            names.add(step.name)
        for tensor in self.outputs:
            if buffer_name(tensor.name, "nchw") not in written:
                raise ValueError(f"no step writes output {tensor.name!r} in row-major order")
        return self


def buffer_name(tensor: str, layout: str) -> str:
    """A tensor in one layout."""
    return f"{tensor}@{layout}"


def relayout_name(tensor: str, layout: str) -> str:
    """The name of the step that brings a tensor into a layout, but for marks behind it: see `free_name`."""
    return f"relayout:{tensor}:{layout}"


def plan_text(plan: Plan) -> str:
    """The plan as its file has it: sorted keys, indented, one newline at the end."""
    content = plan.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plan_hash(plan: Plan) -> str:
    """SHA-256 of the plan's canonical form."""
    return content_hash(plan.model_dump(mode="json"))


def write_plan(plan: Plan, path: Path) -> None:
    """Writes a plan file, replacing an old one only when the new one is complete; raises PlanError otherwise."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(plan_text(plan))
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise PlanError(
            f"plan {path} cannot be written: {error.strerror}; nothing was changed: free some space, or name "
            "another directory"
        ) from error


def read_plan(path: Path) -> Plan:
    """Reads a plan file; raises PlanError naming what is wrong and where."""
    try:
        text = path.read_text(encoding="utf-8")
    except IsADirectoryError as error:
        raise PlanError(f"plan {path} is a directory: name the plan.json in it") from error
    except OSError as error:
        raise PlanError(f"plan {path} cannot be read: {error.strerror}; `explore run` writes one") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"plan {path} is no text: {error.reason} at byte {error.start}") from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"plan {path} is not JSON: {error}; make it again by `explore run`") from error
    try:
        return _validated(content, path)
    except RecursionError as error:
        raise PlanError(
            f"plan {path} is nested too deeply to be one; make it again by `explore run`"
        ) from error


def check_plan_fits(plan: Plan, model_sha256: str) -> None:
    """Raises PlanError where the plan is known to be made for another model than that of the hash."""
    if plan.model_sha256 not in (model_sha256, None):
        raise PlanError(
            f"the plan was made for model {plan.model_name!r} ({plan.model_sha256[:12]}), not for this one "
            f"({model_sha256[:12]}); give that model, or make a new plan by `explore run`"
        )


def are_of_one_model(first: Plan, second: Plan) -> bool:
    """Whether two plans are of one network in equal shapes; by names and shapes where a plan does not tell its hash."""
    hashes = {first.model_sha256, second.model_sha256}
    names = first.model_name == second.model_name if None in hashes else len(hashes) == 1
    return names and (first.inputs, first.outputs) == (second.inputs, second.outputs)


def _of_version_1(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """A plan of version 1 in the form of version 2: equal decisions, under the specs' new hashes."""
    steps = content.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise PlanError(f"plan {path}: steps: not a list of steps; make it again by `explore run`")
    renewed = []
    for step in steps:
        spec = upgraded(step.get("spec"))
        hashed = content_hash(step.get("spec")) == step.get("spec_hash")
        renewed.append(
            {
                **{key: value for key, value in step.items() if key != "output"},
                "spec": spec,
                "spec_hash": content_hash(spec) if hashed else step.get("spec_hash"),
                "choice": upgraded(step.get("choice")),
                "outputs": [step.get("output")],
            }
        )
    return {**content, "steps": renewed}


def _with_names(content: dict[str, Any]) -> dict[str, Any]:
    """A plan whose choices have names where programs wrote numbers until version 2 was a while old."""
    steps = content.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return content
    renewed = [{**step, "choice": upgraded(step["choice"])} if "choice" in step else step for step in steps]
    return {**content, "steps": renewed}


def _validated(content: Any, path: Path) -> Plan:
    if not isinstance(content, dict):
        raise PlanError(f"plan {path} is no JSON object; make it again by `explore run`")
    if "schema_version" not in content:
        raise PlanError(
            f"{path} is no plan: it has no schema_version; name the plan.json that `explore run` wrote"
        )
    version = content["schema_version"]
    if version == 1:
        try:
            content = _of_version_1(content, path)
        except CanonicalFormError as error:
            raise PlanError(f"plan {path}: steps: {error}; make it again by `explore run`") from error
    elif version not in (2, PLAN_VERSION):
        raise PlanError(
            f"plan {path} is of version {version!r}, this program reads versions 1 to {PLAN_VERSION}; "
            "make it again by `explore run`"
        )
    if version in (1, 2):
        content = {**content, "schema_version": PLAN_VERSION, "model_sha256": None}
    try:
        plan = Plan.model_validate(_with_names(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "plan"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise PlanError(
            f"plan {path}: {place}: {first['msg']}{more}; make it again by `explore run`"
        ) from error
    for step in plan.steps:
        try:
            check_layer(step.spec.op, step.spec.inputs, step.spec.weights, step.spec.outputs)
        except GraphSpecError as error:
            raise PlanError(
                f"plan {path}: step {step.name!r}: its spec is of no layer: {error}; make it again by `explore run`"
            ) from error
    return plan
