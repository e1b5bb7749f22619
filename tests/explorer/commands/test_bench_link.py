"""The same search directly and over SSH to this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from codegen.plan import read_plan
from explorer.commands.bench.link import both_ways
from explorer.errors import UsageError
from explorer.pipeline.run import Run
from explorer.runs.data import open_run
from explorer.settings import RunSettings
from explorer.studies.link_choices import Searched, choice_table, plans_equal
from explorer.studies.link_cost import cost_table, signed
from microbench.store import Sample
from tests.explorer.command_line import explore, refused
from tests.explorer.run_shapes import MakeRun
from tests.microbench.loopback_sshd import LoopbackServer, home_directory, sshd
from tests.microbench.measured import sample

__all__ = ["home_directory", "sshd"]

pytestmark = pytest.mark.usefixtures("home_directory")


def half(directory: Path, tile: int | None, samples: dict[str, Sample]) -> Searched:
    """One side; `tile` is another for the step `second`."""
    data = open_run(directory)
    assert data.report is not None
    steps = [
        step.model_copy(update={"choice": replace(step.choice, tile=(("rows", tile),))})
        if step.name == "second" and tile
        else step
        for step in data.plan.steps
    ]
    return Searched(
        Run(data.report, data.plan.model_copy(update={"steps": tuple(steps)}), directory), samples
    )


def test_a_choice_that_differs_is_held_against_the_measurements(make_run: MakeRun) -> None:
    directory = make_run()
    one, other = half(directory, None, {}), half(directory, 77, {})
    assert plans_equal(one.run.plan, read_plan(directory / "plan.json"))
    assert not plans_equal(one.run.plan, other.run.plan)
    row = choice_table(one, other).rows[0]
    assert row[0] == "second" and "rows=77" in row[2] and row[5] == "no side measured both"


@pytest.mark.parametrize(("time_s", "verdict"), [(1.001e-3, "within noise"), (2e-3, "beyond noise")])
def test_only_what_the_noise_does_not_explain_is_a_difference(
    make_run: MakeRun, time_s: float, verdict: str
) -> None:
    from codegen.schedule import Candidate

    directory = make_run()
    one, other = half(directory, None, {}), half(directory, 77, {})
    keys = [
        Candidate(step.spec, step.choice).hash
        for side in (one, other)
        for step in side.run.plan.steps
        if step.name == "second"
    ]
    times = dict(zip(keys, (1e-3, time_s), strict=True))
    samples = {key: sample(times_s=(t, t * 1.002, t * 0.999)) for key, t in times.items()}
    row = choice_table(replace(one, samples=samples), other).rows[0]
    assert verdict in row[5]


def test_a_difference_of_times_may_be_less_than_nothing() -> None:
    assert (signed(-2e-3), signed(2e-3)) == ("-2 ms", "2 ms")
    with pytest.raises(UsageError, match="no candidate works on both"):
        cost_table(())


def test_a_link_needs_two_ends(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--ssh"):
        both_ways(RunSettings(device="host"), tmp_path)


def test_a_search_over_the_link_chooses_the_same_where_no_clock_is_read(
    sshd: LoopbackServer, model: Path, tmp_path: Path
) -> None:
    words = ["bench", "link", "--device", "pi-zero", "--ssh", f"{sshd.user}@127.0.0.1:{sshd.port}"]
    words += ["--ssh-key", str(sshd.directory / "user_key"), "--known-hosts", str(sshd.known_hosts)]
    words += [
        "--model",
        str(model),
        "--layer-budget",
        "2",
        "--candidates",
        "3",
        "--out",
        str(tmp_path / "out"),
    ]
    result = explore(*words, "--markdown", tmp_path / "link.md")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "link.md").read_text()
    assert "the plans are equal" in text and "deterministic, no noise floor" in text
    assert "Over 3 candidates the link costs" in text
    refused(explore("bench", "link", "--device", "pi-zero"), "--ssh")
