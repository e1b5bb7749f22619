"""Programs are told apart once, for as long as what makes them stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.graph import LayerSpec
from codegen.operators.elementwise import Map
from codegen.program import CpuProgram
from codegen.schedule import Candidate, Choice
from codegen.target import Target
from codegen.tensor import FloatArray
from explorer.measure.jobs import JobBuilder
from explorer.measure.programs import Programs
from microbench.profile import load_profile
from microbench.store import Store
from tests.explorer.fakes import FakeAlgorithm
from tests.explorer.networks import graph_of

TARGET = load_profile("host").target()


class Counted(FakeAlgorithm):
    """Its programs differ by their columns alone; says which it has made."""

    def __init__(self) -> None:
        super().__init__("plain")
        self.made: list[Choice] = []

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        self.made.append(choice)
        source = f"/* {choice.tiles['columns']} */"
        return replace(super().emit(spec, target, choice, weights, entry), source=source)


def candidates(algorithm: FakeAlgorithm) -> list[Candidate]:
    graph = graph_of([(0,)], [1])
    spec = LayerSpec.of(graph, graph.nodes[0])
    assert isinstance(spec.op, Map)
    points = algorithm.space(spec, TARGET).points()
    return [Candidate(spec, algorithm.choice(spec, TARGET, point)) for point in points]


def digests(place: Path, target: Target = TARGET, seed: int = 0) -> tuple[list[str], int]:
    """Of every candidate, and how many programs were made for that."""
    algorithm = Counted()
    with Store.open(place) as store:
        programs = Programs(JobBuilder(target, seed, {algorithm.name: algorithm}), store)
        found = [programs.digest(candidate) for candidate in candidates(algorithm)]
        programs.keep()
        programs.keep()
    return found, len(algorithm.made)


def test_programs_are_told_by_their_content(tmp_path: Path) -> None:
    found, made = digests(tmp_path / "store")
    assert (len(found), len(set(found)), made) == (16, 4, 16)


def test_a_kept_digest_is_not_made_again(tmp_path: Path) -> None:
    first, _ = digests(tmp_path / "store")
    assert digests(tmp_path / "store") == (first, 0)


def test_another_target_seed_or_revision_makes_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "store"
    digests(place)
    assert digests(place, seed=1)[1] == 16
    assert digests(place, replace(TARGET, cpu_l2_bytes=TARGET.cpu_l2_bytes + 64))[1] == 16
    monkeypatch.setattr(JobBuilder, "revision", lambda self, candidate: "changed")
    assert digests(place)[1] == 16
