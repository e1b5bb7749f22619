"""Forms of version 1 in today's words."""

from __future__ import annotations

import pytest

from codegen.canonical import plain
from codegen.old_forms import is_old, upgraded
from codegen.revive import revive_as
from codegen.schedule import Choice

NEW = Choice("videocore4", "qpu_map", (("qpus", 12),), (), ("pixel16",), ("pixel16",))


@pytest.mark.parametrize(("processor", "engine"), [("qpu", "videocore4"), ("cpu", "cpu")])
def test_a_choice_names_the_engine_that_its_processor_is(processor: str, engine: str) -> None:
    form = {**plain(NEW), "processor": processor, "algorithm": "qpu_add"}
    form["output_layout"] = form.pop("output_layouts")[0]
    del form["engine"]
    found = revive_as(Choice, upgraded(form))
    assert (found.engine, found.algorithm, found.output_layout) == (engine, NEW.algorithm, "pixel16")


def test_a_candidate_whose_choice_has_a_processor_is_old() -> None:
    spec = {"type": "LayerSpec", "outputs": []}
    assert is_old({"type": "Candidate", "spec": spec, "choice": {"type": "Choice", "processor": "qpu"}})
    assert not is_old({"type": "Candidate", "spec": spec, "choice": plain(NEW)})


def test_a_malformed_processor_is_left_for_the_reader_to_refuse() -> None:
    assert upgraded({"type": "Choice", "processor": 3})["processor"] == 3
