from __future__ import annotations

from explorer.runs.counters import COUNTER_COLUMNS
from explorer.runs.data import open_run
from microbench.virtual.counters import what_binds
from tests.explorer.run_shapes import MakeRun


def test_every_working_candidate_has_a_bound_that_its_time_respects(make_run: MakeRun) -> None:
    run = open_run(make_run())
    assert run.counters is not None and run.samples is not None
    assert list(run.counters.columns[: len(COUNTER_COLUMNS)]) == list(COUNTER_COLUMNS)
    both = run.samples.merge(run.counters, on=["spec_hash", "candidate"])
    assert len(both) == (run.samples["status"] == "ok").sum()
    simulated = both[both["kind"] == "simulated"]
    assert (simulated["bound_s"] <= 1.05 * simulated["time_s"]).all()


def test_what_binds_a_simulated_candidate_is_told_from_its_counters(make_run: MakeRun) -> None:
    run = open_run(make_run())
    assert run.counters is not None and run.report is not None and run.report.ceilings is not None
    ceilings = run.report.ceilings
    assert ceilings.qpus == 12 and ceilings.issue_cycles == 4 and ceilings.memory_bytes_per_s > 1e8
    bindings = [
        what_binds(
            {str(name): value for name, value in row.dropna().items()}, ceilings.qpus, ceilings.issue_cycles
        )
        for _, row in run.counters.drop(columns=list(COUNTER_COLUMNS)).iterrows()
    ]
    assert any(bindings) and all(binding is None or binding.causes for binding in bindings)
