"""From a plan file and its model to the bundle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from codegen.algorithm import check_choice
from codegen.bundle import compile_bundle
from codegen.errors import PlanError, ScheduleError
from codegen.onnx_import.reader import input_names
from codegen.plan import Plan, check_plan_fits, read_plan
from codegen.target import Target
from explorer.plans.network import Network, load_network
from microbench.devices import find_device
from microbench.profile import load_profile, split_variants
from microbench.virtual.bundle import virtual_platform


def compile_plan_file(
    plan_path: Path,
    model_path: Path,
    directory: Path,
    device: str | None,
    devices: Path | None = None,
    cpu_plan_path: Path | None = None,
) -> Plan:
    """Writes the bundle of a plan file, with another for the CPU alone where one is given, and returns the plan.

    Raises PlanError where a plan was made for another model or device.
    """
    plan = read_plan(plan_path)
    network = network_of(plan, plan_path, model_path)
    profile = load_profile(find_device(device, devices).profile if device else plan.device)
    if plan.qpus:
        profile = profile.with_qpus(plan.qpus)
    target = replace(profile.target(), weights=plan.weights)
    _check_device(plan, target, plan_path)
    cpu_plan = None
    if cpu_plan_path is not None:
        cpu_plan = read_plan(cpu_plan_path)
        check_plan_fits(cpu_plan, network.sha256)
        _check_device(cpu_plan, target, cpu_plan_path)
    compile_bundle(network.graph, plan, target, directory, virtual_platform(profile, plan), cpu_plan)
    return plan


def network_of(plan: Plan, plan_path: Path, model_path: Path) -> Network:
    """The network that a plan was made for; raises PlanError where the model is another."""
    shapes = {tensor.name: tensor.shape for tensor in plan.inputs}
    names = input_names(model_path)
    if not set(shapes) <= set(names):
        raise PlanError(
            f"plan {plan_path} was made for model {plan.model_name!r} with the inputs {_quoted(shapes)}; {model_path} "
            f"has the inputs {_quoted(names)}: give that model, or make a new plan by `explore run`"
        )
    network = load_network(model_path, shapes, plan.model_name)
    check_plan_fits(plan, network.sha256)
    return network


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _check_device(plan: Plan, target: Target, path: Path) -> None:
    """A plan that was edited, or made for another device, is refused before code is generated from it."""
    if split_variants(target.name)[0] != split_variants(plan.device)[0]:
        raise PlanError(
            f"plan {path} was made for device {plan.device!r}, not for {target.name!r}; "
            f"make one by `explore run --device {target.name}`"
        )
    for step in plan.steps:
        try:
            check_choice(step.spec, target, step.choice)
        except ScheduleError as error:
            raise PlanError(
                f"plan {path}: step {step.name!r}: {error}; make it again by `explore run`"
            ) from error
