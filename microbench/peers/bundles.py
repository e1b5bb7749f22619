"""This project's own engine among the peers: which bundle stands for a network and a number of threads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from codegen.bundle.manifest import MANIFEST_NAME, read_manifest
from codegen.plan import Plan, read_plan
from microbench.errors import PeerError, ProfileError
from microbench.peers.registry import PROGRAMS
from microbench.peers.worker import Contender
from microbench.profile import load_profile

OUR_NAME, OUR_TITLE = "explore-edge", "this project"
OUR_ENGINE = PROGRAMS / "run_bundle.py"
PLAN_NAME = "plan.json"


@dataclass(frozen=True)
class Bundle:
    """A compiled plan for this machine's CPU."""

    directory: Path
    plan: Plan

    @property
    def threads(self) -> int:
        """The most threads that any of its steps is split over."""
        return max(step.choice.threads for step in self.plan.steps)


def find_bundles(directory: Path) -> tuple[Bundle, ...]:
    """Every bundle below a directory that was compiled for this machine's CPU, its files checked.

    Raises PeerError where there is none, BundleError or PlanError for a damaged one.
    """
    found = []
    for path in sorted(directory.rglob(MANIFEST_NAME)):
        manifest = read_manifest(path.parent)
        if manifest.gpu is None and PLAN_NAME in manifest.files:
            plan = read_plan(path.parent / PLAN_NAME)
            if runs_here(plan):
                found.append(Bundle(path.parent, plan))
    if not found:
        raise PeerError(
            f"{directory} holds no bundle for this machine's CPU; `explore run --device host` makes one"
        )
    return tuple(found)


def runs_here(plan: Plan) -> bool:
    """Whether the plan is for a built-in device that is the CPU of the machine at hand."""
    try:
        return plan.is_of_host and not load_profile(plan.device).compiler_target
    except ProfileError:
        return False


def choose_bundle(bundles: Sequence[Bundle], model_sha256: str, threads: int) -> Bundle:
    """That of the smallest predicted time among those of the model with no more threads; raises PeerError."""
    of_model = [bundle for bundle in bundles if bundle.plan.model_sha256 == model_sha256]
    fitting = [bundle for bundle in of_model if bundle.threads <= threads]
    if not fitting:
        there = sorted({bundle.threads for bundle in of_model})
        have = f"; those there use {', '.join(map(str, there))}" if there else ""
        raise PeerError(
            f"no bundle of this network for {threads} threads or fewer{have}; `explore run --device host` makes one"
        )
    return min(fitting, key=lambda bundle: (bundle.plan.predicted_s, str(bundle.directory)))


def our_contender(bundle: Bundle, name: str = OUR_NAME) -> Contender:
    """The bundle as one more contender, run by this very interpreter."""
    release = f"{version('explore-edge')}, plan's threads: {bundle.threads}"
    return Contender(name, OUR_TITLE, release, Path(sys.executable), OUR_ENGINE, bundle.directory)
