from __future__ import annotations

import pytest

from codegen.operators.softmax import Softmax
from codegen.schedule import Candidate, Choice, Work
from codegen.tensor import TensorType
from cost_models.roofline import RooflineModel
from microbench.cpu_cost import cpu_time_s
from microbench.profile import Constant, load_profile
from tests.codegen.layers import layer_spec
from tests.cost_models.samples import candidate

PROFILE = load_profile("pi-zero")
MODEL = RooflineModel(PROFILE)


def test_pure_arithmetic_runs_at_the_issue_rate() -> None:
    terms = MODEL.terms(candidate(16, 1), Work(macs=0, alu_instructions=12e6))
    assert terms.compute == pytest.approx(1e6 * 4 / 250e6)
    assert terms.bound_s == pytest.approx(terms.compute + terms.latency)


def test_a_bound_names_the_resource_that_sets_it() -> None:
    layer = candidate(16, 1)
    assert MODEL.terms(layer, Work(macs=0, alu_instructions=12e6)).bound_by == "compute"
    assert MODEL.terms(layer, Work(macs=0, alu_instructions=12, load_instructions=1e6)).bound_by == "load"
    assert MODEL.terms(layer, Work(macs=0, unique_bytes_read=1e9)).bound_by == "memory"


def test_an_unbalanced_split_takes_as_long_as_its_busiest_qpu() -> None:
    even, skew, alone = (
        MODEL.terms(
            candidate(16, 1), Work(macs=0, alu_instructions=1e6, load_instructions=1e6, balance=balance)
        )
        for balance in (1, 2, 12)
    )
    assert skew.compute == pytest.approx(2 * even.compute)
    assert skew.load == even.load  # half of the QPUs may be two of each slice, with all TMUs
    assert alone.load == pytest.approx(3 * even.load)  # one QPU has the two TMUs of its slice


def test_loads_stores_and_memory_have_the_profiles_rates() -> None:
    work = Work(
        macs=0, load_instructions=6e6, store_instructions=1000, dma_stores=100, unique_bytes_read=0.65e6,
        streamed_bytes_read=1.3e6,
    )  # fmt: skip
    terms = MODEL.terms(candidate(16, 1), work)
    assert terms.load == pytest.approx(1e6 * 16 / 250e6)
    assert terms.store == pytest.approx(100 * 157e-9 + 1000 * 56e-9, rel=2e-3)
    assert terms.memory == pytest.approx(0.5e-3)
    assert terms.streamed == pytest.approx(1e-3)


def test_what_is_read_again_is_expected_but_no_bound() -> None:
    terms = MODEL.terms(candidate(16, 1), Work(macs=0, unique_bytes_read=1e6, streamed_bytes_read=9e6))
    assert terms.bound_s == pytest.approx(terms.memory + terms.start)
    assert terms.expected_s == pytest.approx(9 * terms.memory + terms.latency)


def test_the_memory_moves_bytes_of_one_qpu_while_another_waits_for_its_first_load() -> None:
    work = Work(macs=0, dma_stores=1e4, unique_bytes_read=1e8)
    terms = MODEL.terms(candidate(16, 1), work)
    assert terms.bound_by == "memory"
    assert terms.start < 0.01 * terms.latency
    assert terms.bound_s == pytest.approx(terms.memory + terms.start)


def test_the_clock_scales_cycles_and_memory_up_to_what_the_sdram_moves() -> None:
    work = Work(macs=0, alu_instructions=1e6, streamed_bytes_read=1e6)
    slow, faster, fastest = (
        RooflineModel(PROFILE.with_v3d(clock_hz=clock_hz)).terms(candidate(16, 1), work)
        for clock_hz in (250e6, 400e6, 1000e6)
    )
    assert fastest.compute == pytest.approx(slow.compute / 4)
    assert faster.streamed == pytest.approx(slow.streamed * 250 / 400)
    assert fastest.streamed == pytest.approx(1e6 / PROFILE.v3d_value("sdram_bytes_per_s"))


def test_a_cpu_candidate_needs_no_gpu() -> None:
    tensor = TensorType((1, 1000))
    choice = Choice("cpu", "portable", (), (), ("nchw",), ("nchw",))
    pair = (
        Candidate(layer_spec(Softmax(1), (tensor,), tensor), choice),
        Work(macs=1e6, alu_instructions=4e6),
    )
    for profile in (PROFILE, load_profile("host")):
        (prediction,) = RooflineModel(profile).predict([pair])
        assert 1e-5 < prediction.time_s < 1.0


def test_a_tabled_cpu_takes_what_its_table_says() -> None:
    work = Work(
        macs=1e6, alu_instructions=4e6, load_instructions=1e6, streamed_bytes_read=1e6, bytes_written=1e5
    )
    tensor = TensorType((1, 1000))
    choice = Choice("cpu", "portable", (), (), ("nchw",), ("nchw",))
    terms = MODEL.terms(Candidate(layer_spec(Softmax(1), (tensor,), tensor), choice), work)
    assert terms.bound_s == pytest.approx(cpu_time_s(work, PROFILE))
    assert terms.latency > 0


@pytest.mark.parametrize("device", ["host", "pi-zero"])
def test_threads_share_the_work_and_pay_for_meeting(device: str) -> None:
    profile = load_profile(device)
    if profile.cpu_costs:
        sync = Constant(value=5e-6, unit="s", source="assumed: for this test")
        profile = profile.model_copy(update={"cpu_costs": {**profile.cpu_costs, "thread_sync_s": sync}})
    tensor = TensorType((1, 1000))

    def bound_s(threads: int, macs: float, balance: float = 1.0) -> float:
        split = (("threads", threads),)
        choice = Choice("cpu", "portable", split, (), ("nchw",), ("nchw",))
        work = Work(macs=macs, alu_instructions=2 * macs, load_instructions=macs, balance=balance)
        candidate = Candidate(layer_spec(Softmax(1), (tensor,), tensor), choice)
        return RooflineModel(profile).terms(candidate, work).bound_s

    assert bound_s(2, 1e8) == pytest.approx(bound_s(1, 1e8) / 2, rel=0.01)
    assert bound_s(4, 1e8, balance=2.0) == pytest.approx(bound_s(1, 1e8) / 2, rel=0.01)
    assert bound_s(2, 10.0) > bound_s(1, 10.0)
