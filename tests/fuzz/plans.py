"""Plans whose decisions are changed, under hashes that fit them: what is read is of layers that can be."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from codegen.canonical import content_hash
from codegen.plan import plan_text, read_plan
from tests.codegen.planned import branched_network, plan_of, qpu_plan, small_network
from tests.fuzz.damage import damaged
from tests.fuzz.verdicts import verdict_of
from tests.random_graphs.judge import Outcome

Place = tuple[str | int, ...]
VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 1 << 31, 1 << 70, 1.5, None, True, "", "x", "nchw", "float32", "1\u0663"),
    *([], {}, [1, 2], [1, 1, 1], [1, 1, 1, 1, 1]),
)


@cache
def plans() -> tuple[str, ...]:
    """For the CPU and for the QPUs."""
    small, branched = small_network(), branched_network()
    return tuple(map(plan_text, (plan_of(small), plan_of(branched), qpu_plan(small))))


def judged_plan(number: int) -> Outcome:
    """The verdict on one changed plan: one in ten has damaged bytes, the others are plans of other decisions."""
    random = Random(f"plan {number}")
    sound = random.choice(plans())
    text = damaged(sound.encode(), random) if number % 10 == 0 else _changed(json.loads(sound), random)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "plan.json"
        path.write_bytes(text)
        return verdict_of(lambda: _complaint(path))


def _complaint(path: Path) -> str:
    """Everything that a step says of itself can be asked."""
    for step in read_plan(path).steps:
        if not step.spec.describe() or step.spec.macs < 0 or not step.candidate.hash:
            return f"step {step.name} says nothing"
    return ""


def _changed(plan: dict[str, Any], random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2))):
        if random.random() < 0.7 and isinstance(plan.get("steps"), list) and plan["steps"]:
            step = random.choice(plan["steps"])
            if isinstance(step, dict) and isinstance(step.get("spec"), dict):
                _change(step["spec"], random)
                step["spec_hash"] = content_hash(step["spec"])
        else:
            _change(plan, random)
    return json.dumps(plan).encode()


def _places(value: Any, here: Place = ()) -> Iterator[Place]:
    if here:
        yield here
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from _places(value[key], (*here, key))


def _change(value: dict[str, Any], random: Random) -> None:
    """One place of it becomes something else."""
    places = list(_places(value))
    if not places:
        return
    *way, last = random.choice(places)
    owner: Any = value
    for key in way:
        owner = owner[key]
    old = owner[last]
    if isinstance(old, list) and random.random() < 0.6:
        owner[last] = _list(old, random)
    elif isinstance(old, int) and random.random() < 0.6:
        owner[last] = random.choice((old + 1, old - 1, 0, -old, 2 * old))
    elif random.random() < 0.1:
        del owner[last]
    else:
        owner[last] = copy.deepcopy(random.choice(VALUES))


def _list(old: list[Any], random: Random) -> list[Any]:
    new = list(old)
    kind = random.randrange(4)
    if new and kind == 0:
        new.pop(random.randrange(len(new)))
    elif new and kind == 1:
        new.insert(random.randrange(len(new)), copy.deepcopy(random.choice(new)))
    elif kind == 2:
        new.append(1)
    else:
        random.shuffle(new)
    return new
