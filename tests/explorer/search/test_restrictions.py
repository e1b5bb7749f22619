from __future__ import annotations

import pytest

from codegen.graph import LayerSpec
from explorer.errors import ChoiceError
from explorer.measure.jobs import JobBuilder
from explorer.search.layer_search import SearchSettings
from explorer.search.restrictions import Admission, ChoiceRule, Restrictions, parse_rule
from explorer.search.searched_layers import layer_searches
from microbench.profile import load_profile
from tests.explorer.fakes import FakeAlgorithm
from tests.explorer.networks import graph_of

GRAPH = graph_of([(0,), (1,)], [2])
TARGET = load_profile("host").target()


def choices(**restrictions: object) -> list[set[str]]:
    """The algorithms that each node is left with."""
    algorithms = {name: FakeAlgorithm(name) for name in ("plain", "quick")}
    admission = Admission(Restrictions(**restrictions), GRAPH, TARGET)  # type: ignore[arg-type]
    layers = layer_searches(GRAPH, JobBuilder(TARGET, 0, algorithms), SearchSettings(), admission)
    return [{c.choice.algorithm for c in layers[LayerSpec.of(GRAPH, n)].candidates} for n in GRAPH.nodes]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("stem=plain", ChoiceRule("stem", "plain")),
        ("a=b=plain:rows=2,columns=1", ChoiceRule("a=b", "plain", (("rows", "2"), ("columns", "1")))),
        ("relayout:t1:nchw=quick", ChoiceRule("relayout:t1:nchw", "quick")),
    ],
)
def test_rules_are_read_and_told_alike(text: str, rule: ChoiceRule) -> None:
    assert parse_rule("--force", text) == rule and rule.text == text


@pytest.mark.parametrize("text", ["", "stem", "stem=", "=plain", "stem=plain:", "stem=plain:rows"])
def test_malformed_rules(text: str) -> None:
    with pytest.raises(ChoiceError, match=r"--forbid.*an example"):
        parse_rule("--forbid", text)


def test_forced_and_forbidden() -> None:
    assert choices() == [{"plain", "quick"}] * 2
    assert choices(force=(ChoiceRule("n0", "quick"),)) == [{"quick"}, {"plain", "quick"}]
    assert choices(forbid=(ChoiceRule("n1", "quick"),)) == [{"plain", "quick"}, {"plain"}]


def test_what_does_not_exist_is_answered_by_what_does() -> None:
    with pytest.raises(ChoiceError, match=r"no layer 'n9'; there are: n0, n1"):
        choices(force=(ChoiceRule("n9", "quick"),))
    with pytest.raises(ChoiceError, match=r"--force n0=none: .*there are: plain, quick"):
        choices(force=(ChoiceRule("n0", "none"),))
    with pytest.raises(ChoiceError, match=r"no such choice 'quik', did you mean 'quick'\?"):
        choices(force=(ChoiceRule("n0", "quik"),))
    with pytest.raises(ChoiceError, match=r"--forbid n0=none: .*there are: plain, quick"):
        choices(forbid=(ChoiceRule("n0", "none"),))
    with pytest.raises(ChoiceError, match=r"quick with columns=0\|1\|2\|3; rows=0"):
        choices(force=(ChoiceRule("n0", "quick", (("rows", "9"),)),))


def test_the_last_choice_cannot_be_forbidden() -> None:
    with pytest.raises(ChoiceError, match="no choice is left"):
        choices(force=(ChoiceRule("n0", "quick"), ChoiceRule("n0", "plain")))
    with pytest.raises(ChoiceError, match="no choice is left"):
        choices(forbid=(ChoiceRule("n0", "quick"), ChoiceRule("n0", "plain")))


def test_a_network_needs_a_core() -> None:
    with pytest.raises(ChoiceError, match="needs one"):
        choices(cores_free=TARGET.cores)
