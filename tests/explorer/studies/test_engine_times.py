"""QPUs against cores: every layer's two times, who wins, and plans of one engine and of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.plans.network import Network
from explorer.studies.engine_times import CORES, QPUS, EngineTimes, layer_table, plan_table, time_engines
from explorer.terminal.progress import Silent
from microbench.registry import open_board
from tests.codegen.planned import small_network

pytestmark = pytest.mark.needs("instruction counting")
BYTES_PER_S = 2e9


@pytest.fixture(scope="module")
def times() -> EngineTimes:
    network = Network("small", Path("small.onnx"), small_network(), "ab" * 32)
    with open_board("pi-3") as board, open_board("pi-3-64") as clocked:
        return time_engines(network, board, clocked, BYTES_PER_S, Silent())


def test_every_layer_has_both_engines_times_and_the_faster_is_named(times: EngineTimes) -> None:
    table = layer_table(times)
    computing = [layer for layer in times.layers if layer.spec.macs]
    assert len(table.rows) == len(computing) > 0
    for layer, row in zip(computing, table.rows, strict=True):
        qpus, cores = layer.best(True), layer.best(False)
        assert qpus is not None and cores is not None
        assert row[5].startswith(QPUS if qpus.time_s < cores.time_s else CORES)
        assert qpus.kind == cores.kind == "simulated"


def test_cores_share_what_one_takes_and_meet(times: EngineTimes) -> None:
    for layer in times.layers:
        for way in layer.ways:
            threads = way.candidate.choice.threads
            if way.one_core_s and threads > 1:
                least_s = way.one_core_s / threads
                moved_s = (way.work.streamed_bytes_read + way.work.bytes_written) / BYTES_PER_S
                assert way.time_s > max(least_s, moved_s)


def test_a_plan_of_both_is_no_slower_than_one_of_either_and_longer_times_make_it_longer(
    times: EngineTimes,
) -> None:
    both = times.plan()
    assert both is not None
    for engine in ("cpu", "videocore4"):
        alone = times.plan(engines=(engine,))
        assert alone is None or both.total_s <= alone.total_s * (1 + 1e-9)
    slower = times.plan(cores=1.5, qpus=1.5)
    assert slower is not None and slower.total_s > both.total_s
    assert len(plan_table(times).rows) == 2 + 9
