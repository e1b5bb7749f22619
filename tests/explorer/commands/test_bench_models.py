"""Every candidate of a tiny network's layer is measured once, and cost models are judged by that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from codegen.algorithm import algorithms
from codegen.operators.conv2d import Conv2d
from explorer.measure.jobs import JobBuilder
from explorer.studies.ground_truth import all_candidates, chosen_share
from explorer.studies.model_scores import timed_observations
from explorer.studies.truth_samples import TruthSamples
from microbench.profile import load_profile
from microbench.store import Store
from tests.codegen.layers import convolution
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def test_ground_truth_goes_on_and_models_are_judged_by_it(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=8, channels=16)
    store, page = tmp_path / "truth.sqlite", tmp_path / "models.md"
    truth = ("bench", "ground-truth", "--models", model, "--store", store)
    first = explore(*truth)
    assert first.exit_code == 0, first.output
    with Store.open(store) as opened:
        count = opened.count()
        assert {sample.status for sample in opened.samples()} == {"ok"}
    again = explore(*truth)
    assert again.exit_code == 0, again.output
    with Store.open(store) as opened:
        assert opened.count() == count
    judged = explore(
        "bench",
        "models",
        "--models",
        model,
        "--store",
        store,
        "--seeds",
        "2",
        "--markdown",
        page,
        *("--note", "Nothing else was going on."),
    )
    assert judged.exit_code == 0, judged.output
    rows = [line for line in page.read_text().splitlines() if line.startswith("| r")]
    assert {line.split("|")[1].strip() for line in rows} >= {"residual", "roofline"}
    assert {line.split("|")[2].strip() for line in rows} == {"candidate", "shape"}
    assert "Nothing else was going on. Every sample is of the kernels" in page.read_text()
    assert "candidates take less than the roofline's bound" in page.read_text()


def test_samples_of_other_kernels_are_left_out_and_said_to_be(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=8, channels=16)
    store, mixed, old = (tmp_path / f"{name}.sqlite" for name in ("truth", "mixed", "old"))
    taken = explore("bench", "ground-truth", "--models", model, "--store", store)
    assert taken.exit_code == 0, taken.output
    with Store.open(store) as opened:
        samples = tuple(opened.samples())
    for place, is_old in ((mixed, True), (old, True), (mixed, False)):
        with Store.open(place) as opened:
            for sample in samples:
                slower = replace(sample, revision="0" * 16, times_s=tuple(9 * t for t in sample.times_s))
                opened.add(slower if is_old else sample)
    profile = load_profile("pi-zero")
    alone, beside = timed_observations(str(store), profile), timed_observations(str(mixed), profile)
    assert beside.observations == alone.observations
    assert alone.noise == "Noise floor: simulated: deterministic, no noise floor."
    spreads = ((samples[0], (1.0, 1.0, 1.0)), (samples[1], (0.9, 1.0, 1.1)))
    references = [
        replace(sample, kind="host", role="reference", times_s=(time_s,))
        for sample, times_s in spreads
        for time_s in times_s
    ]
    floor = TruthSamples((), 0, tuple(references)).noise
    assert floor.startswith("Noise floor: ±9.5 %, half the spread of 3 timings of a reference kernel")
    assert "is of the kernels as they are generated now" in alone.left_out
    count = sum(sample.kind != "modelled" for sample in samples)
    assert beside.left_out == f"{count} samples of kernels that are generated otherwise now are left out."
    refused(explore("bench", "models", "--store", old), "UsageError", "generated otherwise now")
    refused(explore("bench", "strategies", "--models", model, "--store", old), "generated otherwise now")


def test_a_share_is_part_of_a_larger_one_and_small_spaces_are_whole(tmp_path: Path) -> None:
    spec = convolution(64, 64, (28, 28), Conv2d((1, 1), (1, 1), (0, 0, 0, 0)))
    jobs = JobBuilder(load_profile("pi-zero").target(), 0, algorithms(), 1)
    every = all_candidates(spec, jobs, 4000)
    eighth, half = (set(chosen_share(every, share)) for share in (0.125, 0.5))
    large = [c for c in every if c.choice.algorithm == "qpu_implicit_gemm"]
    assert len(large) > 100
    assert eighth < half < set(every) == set(chosen_share(every, 1.0))
    assert 0.35 < len(half & set(large)) / len(large) < 0.65
    assert {c for c in every if c.choice.algorithm == "cpu_conv_direct"} <= eighth


def test_a_store_without_times_of_the_device_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty.sqlite"):
        pass
    refused(explore("bench", "models", "--store", tmp_path / "empty.sqlite"), "bench ground-truth")


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=8, channels=16)
    place = ("--store", tmp_path / "truth.sqlite", "--layer", "nothing like it")
    refused(explore("bench", "ground-truth", "--models", model, *place), "there are:")
