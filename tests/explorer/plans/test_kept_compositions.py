"""Compositions that a store keeps are those that were made, and are not made again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from explorer.compose.compose import UNLIMITED, Composition
from explorer.errors import CompositionError, UndecidedError
from explorer.pipeline.run import searched
from explorer.plans.kept_compositions import KeptCompositions
from explorer.plans.network import load_network
from explorer.plans.searched_network import SearchedNetwork
from explorer.search.layer_search import SearchSettings
from explorer.settings import RunSettings
from explorer.terminal.progress import Silent
from microbench.errors import StoreError
from tests.explorer.tiny import write_tiny_model


class Rounds(dict[str, str]):
    """A keeper in memory."""

    def round(self, key: str) -> str | None:
        return self.get(key)

    def add_round(self, key: str, content: str) -> None:
        self[key] = content


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SearchedNetwork:
    directory = tmp_path_factory.mktemp("searched")
    model = write_tiny_model(directory / "tiny.onnx", side=16, channels=16)
    settings = RunSettings(
        device="pi-zero",
        model=model,
        store=str(directory / "samples.sqlite"),
        out=directory / "out",
        search=SearchSettings(layer_budget=1),
    )
    return searched(settings, load_network(model, {}, "tiny"), Silent())


def never() -> Composition:
    raise AssertionError("made again")


def test_what_is_kept_is_what_was_made(found: SearchedNetwork) -> None:
    rounds = Rounds()
    made = found.compose(UNLIMITED)
    within = found.compose_within(found.memory(made).total_bytes - 1, UNLIMITED)
    for asked, composition in (("free", made), ("capped", within)):
        assert (
            KeptCompositions(found, rounds).composition(asked, partial(replace, composition)) == composition
        )
        assert KeptCompositions(found, rounds).composition(asked, never) == composition
    with pytest.raises(AssertionError):
        KeptCompositions(found, rounds).composition("another", never)


def test_that_nothing_fits_is_kept_but_not_that_nothing_was_found_in_time(found: SearchedNetwork) -> None:
    rounds = Rounds()

    def none() -> Composition:
        raise CompositionError("none")

    def undecided() -> Composition:
        raise UndecidedError("unknown")

    assert KeptCompositions(found, rounds).composition(1, none) is None
    assert KeptCompositions(found, rounds).composition(1, never) is None
    with pytest.raises(UndecidedError):
        KeptCompositions(found, rounds).composition(2, undecided)
    assert len(rounds) == 1


@pytest.mark.parametrize("content", ["torn", '{"steps": [{"node": 1}]}'])
def test_damage_is_told(found: SearchedNetwork, content: str) -> None:
    rounds = Rounds()
    KeptCompositions(found, rounds).composition(1, lambda: found.compose(UNLIMITED))
    (key,) = rounds
    rounds[key] = content
    with pytest.raises(StoreError, match="damaged"):
        KeptCompositions(found, rounds).composition(1, never)


def test_without_a_keeper_everything_is_made(found: SearchedNetwork) -> None:
    made = found.compose(UNLIMITED)
    kept = KeptCompositions(found, None)
    assert kept.composition(1, lambda: made) is made
    with pytest.raises(AssertionError):
        kept.composition(1, never)
