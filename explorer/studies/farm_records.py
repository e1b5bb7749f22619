"""Parts of the study of farms, each kept as it ends: a study that was interrupted goes on after the last one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codegen.graph import Graph
from explorer.errors import RunDataError
from explorer.studies.farm import Crowd, FarmRun, KeptDigests, changing, crowded, simulated, steady

CROWD, CHANGING, VIRTUAL = "crowd", "change", "virtual"
CROWD_PROCESSES = 4
CROWD_ANSWER_S = 20.0  # a thousand boards that answer faster are more than a host of two cores asks
Part = FarmRun | Crowd


def parts_of(
    graph: Graph,
    device: str,
    boards: tuple[int, ...],
    answer_s: float,
    crowd: int,
    virtual: tuple[int, ...] = (),
) -> Mapping[str, Callable[[KeptDigests], Part]]:
    """By name, the crowd first, then the most boards first; the change is on as many as the most. `virtual`: numbers of
    virtual boards, whose parts are the last.
    """
    most = max(boards)
    found: dict[str, Callable[[KeptDigests], Part]] = {}
    if crowd:
        found[CROWD] = lambda digests: crowded(graph, device, crowd, CROWD_PROCESSES, CROWD_ANSWER_S)
    for count in sorted(boards, reverse=True):
        found[str(count)] = lambda digests, count=count: steady(graph, device, count, answer_s, digests)  # type: ignore[misc]
    if most >= 4:
        found[f"{CHANGING}{most}"] = lambda digests: changing(graph, device, most, answer_s, digests)
    for count in sorted(virtual, reverse=True):
        found[f"{VIRTUAL}{count}"] = lambda digests, count=count: simulated(graph, device, count, digests)  # type: ignore[misc]
    return found


def recorded(parts: Mapping[str, Callable[[KeptDigests], Part]], records: Path) -> dict[str, Part]:
    """Every part, those that the file has not got done now and appended; raises RunDataError for a damaged file."""
    found = {name: part for name, part in _read(records).items() if name in parts}
    digests = KeptDigests()
    records.parent.mkdir(parents=True, exist_ok=True)
    for name, do in parts.items():
        if name not in found:
            found[name] = do(digests)
            with records.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"part": name, **asdict(found[name])}) + "\n")
    return found


def _read(records: Path) -> dict[str, Part]:
    if not records.is_file():
        return {}
    found: dict[str, Part] = {}
    try:
        for line in records.read_text(encoding="utf-8").splitlines():
            values: dict[str, Any] = json.loads(line)
            name = values.pop("part")
            found[name] = Crowd(**values) if name == CROWD else FarmRun(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunDataError(f"{records} is damaged: {error}; remove it to do the study anew") from error
    return found
