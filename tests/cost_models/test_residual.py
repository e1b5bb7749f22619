from __future__ import annotations

import json
from dataclasses import replace

import pytest

from codegen.schedule import Work, values
from cost_models.board_view import BoardView
from cost_models.errors import CostModelError
from cost_models.metrics import mape, spearman
from cost_models.model import Observation
from cost_models.registry import cost_model_named, known_cost_models
from cost_models.residual import NONE_FACTOR, ResidualModel
from cost_models.roofline import RooflineModel
from microbench.profile import load_profile
from tests.cost_models.conformance import CostModelConformance, Factory
from tests.cost_models.samples import candidate, law_s, observations, work
from tests.cost_models.test_tile_flow import pair

PROFILE = load_profile("pi-zero")


class TestResidualConforms(CostModelConformance):
    @pytest.fixture
    def make_model(self) -> Factory:
        return lambda: ResidualModel(PROFILE)


class TestRooflineConforms(CostModelConformance):
    @pytest.fixture
    def make_model(self) -> Factory:
        return lambda: RooflineModel(PROFILE)


def test_it_learns_what_the_roofline_misses() -> None:
    training, rest = observations(80)[:60], observations(80)[60:]
    model = ResidualModel(PROFILE)
    model.fit(training)
    pairs = [(o.candidate, o.work) for o in rest]
    measured = [o.time_s for o in rest]
    learned = [p.time_s for p in model.predict(pairs)]
    bare = [p.time_s for p in RooflineModel(PROFILE).predict(pairs)]
    assert mape(learned, measured) < 0.2 < mape(bare, measured)
    assert spearman(learned, measured) > 0.97


def test_intervals_hold_most_unseen_candidates() -> None:
    training, rest = observations(80)[:60], observations(80)[60:]
    model = ResidualModel(PROFILE)
    model.fit(training)
    predictions = model.predict([(o.candidate, o.work) for o in rest])
    inside = sum(p.low_s <= o.time_s <= p.high_s for p, o in zip(predictions, rest, strict=True))
    assert inside >= 0.75 * len(rest)


def test_nothing_takes_longer_than_without_any_overlap_times_what_was_seen() -> None:
    """A program that overlaps a lot and took as long as if it did not, teaches too much of one that cannot."""
    board, model = BoardView(PROFILE), ResidualModel(PROFILE)
    overlapping = pair("qpu_pointwise_streamed", (64, 64, 28), pixel_tiles=4, blocks=1, channels=16)
    alone = overlapping[0], Work(macs=1e6, alu_instructions=1e6)
    seen, unseen = board.places([overlapping, alone])
    model.fit([Observation(*overlapping, 2.0 * board.serial_s(seen))])
    told, again = model.predict([alone, overlapping])
    assert again.time_s == pytest.approx(2.0 * board.serial_s(seen))
    assert told.time_s == pytest.approx(2.0 * board.serial_s(unseen))
    assert again.time_s / board.expected_s(seen) > 1.5 * told.time_s / board.expected_s(unseen)
    assert told.high_s / told.low_s == pytest.approx(again.high_s / again.low_s)


def test_a_few_observations_give_their_median_and_a_wide_interval() -> None:
    model = ResidualModel(PROFILE)
    roofline_s = RooflineModel(PROFILE).predict([(candidate(64, 2), work(64, 2))])[0].time_s
    model.fit([Observation(candidate(64, 2), work(64, 2), 3.0 * roofline_s)])
    (prediction,) = model.predict([(candidate(64, 2), work(64, 2))])
    assert prediction.time_s == pytest.approx(3.0 * roofline_s)
    assert prediction.high_s / prediction.low_s == pytest.approx(4.0)


def test_an_algorithm_without_observations_has_the_widest_interval() -> None:
    model = ResidualModel(PROFILE)
    model.fit([o for o in observations(60) if o.candidate.choice.algorithm == "gemm"])
    (prediction,) = model.predict([(candidate(64, 2, "new"), work(64, 2))])
    assert prediction.high_s / prediction.low_s == pytest.approx(NONE_FACTOR**2)


def test_what_is_unseen_does_not_depend_on_the_observation() -> None:
    seen = observations(60)
    outlier = Observation(candidate(64, 2), work(64, 2), 1000 * law_s(64, 2))
    others = [o for o in seen if o.candidate != outlier.candidate]
    changed = Observation(outlier.candidate, outlier.work, law_s(64, 2))
    times_s = []
    for one in (outlier, changed):
        model = ResidualModel(PROFILE)
        model.fit([*others, one])
        times_s.append(model.unseen()[-1].time_s)
    assert times_s[0] == times_s[1]


def test_what_is_unseen_is_predicted_without_the_whole_layer() -> None:
    """Another time of a sibling changes nothing of what is predicted unseen."""
    seen = observations(60)
    sibling = next(o for o in seen[:-1] if o.candidate.spec == seen[-1].candidate.spec)
    changed = [Observation(o.candidate, o.work, 9 * o.time_s) if o is sibling else o for o in seen]
    times_s = []
    for rows in (seen, changed):
        model = ResidualModel(PROFILE)
        model.fit(rows)
        times_s.append(model.unseen()[-1].time_s)
    assert times_s[0] == times_s[1]


def test_a_prior_of_other_layers_teaches_what_no_own_observation_says() -> None:
    own, prior = observations(80)[:6], observations(80)[20:]
    rest = [o for o in observations(80)[6:20] if o.candidate not in {p.candidate for p in prior}]
    pairs, measured = [(o.candidate, o.work) for o in rest], [o.time_s for o in rest]
    errors = []
    for taught in ((), prior):
        model = ResidualModel(PROFILE)
        model.fit(own, taught)
        errors.append(mape([p.time_s for p in model.predict(pairs)], measured))
    assert errors[1] < 0.5 * errors[0]


def test_a_prior_of_another_board_counts_by_that_board_s_roofline() -> None:
    """On a board of twice the speed in everything the same programs take half as long: the ratios are the same."""
    fast = PROFILE.with_v3d(
        clock_hz=2 * PROFILE.v3d_value("clock_hz"),
        sdram_bytes_per_s=2 * PROFILE.v3d_value("sdram_bytes_per_s"),
        sdram_latency_s=PROFILE.v3d_value("sdram_latency_s") / 2,
        uniform_sdram_extra_s=PROFILE.v3d_value("uniform_sdram_extra_s") / 2,
        vdw_setup_s=PROFILE.v3d_value("vdw_setup_s") / 2,
    )
    prior = [Observation(o.candidate, o.work, o.time_s / 2, fast) for o in observations(70)]
    model, same = ResidualModel(PROFILE), ResidualModel(PROFILE)
    model.fit((), prior)
    same.fit((), observations(70))
    pairs = [(o.candidate, o.work) for o in observations(80)[70:]]
    taught, own = (m.predict(pairs) for m in (model, same))
    assert [p.time_s for p in taught] == pytest.approx([p.time_s for p in own], rel=1e-6)


@pytest.mark.parametrize("time_s", [0.0, -1.0, float("nan"), float("inf")])
def test_it_refuses_a_time_that_is_none(time_s: float) -> None:
    with pytest.raises(CostModelError, match="positive"):
        ResidualModel(PROFILE).fit([Observation(candidate(64, 2), work(64, 2), time_s)])


def test_it_refuses_the_text_of_another_profile_and_damaged_trees() -> None:
    model = ResidualModel(PROFILE)
    model.fit(observations(60))
    with pytest.raises(CostModelError, match="another device profile"):
        ResidualModel(PROFILE.with_v3d(clock_hz=3e8)).load_text(model.to_text())
    state = json.loads(model.to_text())
    state["learned"]["low"] = "tree\nnonsense"
    with pytest.raises(CostModelError, match="LightGBM"):
        ResidualModel(PROFILE).load_text(json.dumps(state))
    state["learned"] = None
    with pytest.raises(CostModelError, match="contradict"):
        ResidualModel(PROFILE).load_text(json.dumps(state))


def test_a_qpu_candidate_on_a_board_without_qpus_is_refused() -> None:
    with pytest.raises(CostModelError, match="no QPUs"):
        RooflineModel(load_profile("host")).predict([(candidate(64, 2), work(64, 2))])


def test_models_are_found_by_name() -> None:
    assert {"residual", "roofline"} <= set(known_cost_models())
    assert cost_model_named("residual", PROFILE).name == "residual"
    with pytest.raises(CostModelError, match="known: residual, roofline"):
        cost_model_named("crystal-ball", PROFILE)


def renamed(o: Observation) -> Observation:
    """The same decisions under names that sort otherwise, and so under another hash."""
    choice = o.candidate.choice
    called = replace(
        choice,
        algorithm={"gemm": "zebra", "other": "ape"}[choice.algorithm],
        split=values({f"z{name}": value for name, value in choice.split}),
        tile=values({f"a{name}": value for name, value in choice.tile}),
    )
    return replace(o, candidate=replace(o.candidate, choice=called))


def test_other_names_for_the_same_teach_the_same() -> None:
    named = [with_second_axis(o) for o in observations(60)]
    found = []
    for training in (named, [renamed(o) for o in named]):
        model = ResidualModel(PROFILE)
        model.fit(training)
        found.append((model.predict([(o.candidate, o.work) for o in training]), model.unseen()))
    assert found[0] == found[1]


def with_second_axis(o: Observation) -> Observation:
    """One more decision, whose column is another than the first's."""
    choice = o.candidate.choice
    more = values(
        {**choice.tiles, "columns": 9 - choice.tiles["rows"] + o.candidate.spec.output.shape[1] % 3}
    )
    return replace(o, candidate=replace(o.candidate, choice=replace(choice, tile=more)))
