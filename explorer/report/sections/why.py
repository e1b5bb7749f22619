"""A card for each layer: roofline, what binds it, chosen and runner-up, the fastest candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from explorer.errors import RunDataError
from explorer.report.exhibits import Drawing, Exhibit
from explorer.report.markup import part
from explorer.runs.data import RunData
from explorer.runs.explain import Explained, Explanation, explain
from explorer.runs.frames import NO_KIND, steps_frame
from explorer.runs.limits import Limits, limits_of
from explorer.terminal.units import seconds
from microbench.virtual.counters import CYCLES

MOST_CANDIDATES = 8  # of a layer, and the chosen one
LEAST_SHOWN = 0.005  # of the cycles
MOST_CAUSES = 6


def layer_cards(run: RunData) -> Drawing:
    """All steps in the order they run, each to be opened."""
    limits = {one.number: one for one in limits_of(run)}
    steps = steps_frame(run).to_dict("records")
    cards = [_card(run, number, step, limits.get(number)) for number, step in enumerate(steps, 1)]
    return Drawing(part("cards", cards))


def _card(
    run: RunData, number: int, step: Mapping[object, object], limits: Limits | None
) -> Mapping[str, object]:
    explanation = _explanation(run, str(step["layer"]))
    lines = [_chosen(step)]
    if limits:
        lines += _limit_lines(limits)
    if explanation and explanation.candidates:
        lines += [f"{line[0].upper()}{line[1:]}." for line in explanation.lines()]
    share = float(str(step["share"]))
    return {
        "number": number,
        "name": step["layer"],
        "algorithm": step["algorithm"],
        "time": f"{seconds(float(str(step['time_s'])))} ({step['kind']}), {100 * share:.1f} %"
        if step["kind"] != NO_KIND
        else "takes no time",
        "summary": str(step["summary"]).replace("->", "→"),
        "lines": lines,
        "shares": _shares(limits),
        "table": _candidates(explanation) if explanation and explanation.candidates else None,
    }


def _explanation(run: RunData, layer: str) -> Explanation | None:
    """None where the run did not record its reasons."""
    try:
        return explain(run, layer)
    except RunDataError:
        return None


def _chosen(step: Mapping[object, object]) -> str:
    how = " ".join(str(step[name]) for name in ("split", "tile") if step[name])
    layouts = str(step["layouts"]).replace(">", "→")
    return f"{step['algorithm']}{f', {how}' if how else ''}; layouts {layouts}; on {step['engine']}."


def _limit_lines(limits: Limits) -> Sequence[str]:
    lines = [
        f"Roofline: alone it takes {seconds(limits.time_s)} ({limits.kind}); no schedule of this work takes less than "
        f"{seconds(limits.bound_s)} (modelled), set by {limits.bound_by}: {100 * limits.reached:.0f} % of the bound."
    ]
    if limits.macs > 0 and limits.unique_bytes > 0:
        rate = f"{limits.flops / 1e9:.3g} GFLOP/s at {limits.flop_per_byte:.3g} operations for each byte"
        lines[0] += f" {rate} that must be moved."
    if limits.binding:
        text = limits.binding.text()
        lines.append(f"{text[0].upper()}{text[1:]} (simulated).")
    return lines


def _shares(limits: Limits | None) -> Sequence[Mapping[str, object]]:
    """Where cycles went, the largest first, for a bar; the smallest are left out."""
    if limits is None or limits.binding is None:
        return ()
    order = sorted(limits.binding.shares.items(), key=lambda item: -item[1])
    kept = [(name, share) for name, share in order if share >= LEAST_SHOWN][:MOST_CAUSES]
    return [
        {"rank": rank, "share": share, "text": f"{CYCLES[name]} {100 * share:.0f} %"}
        for rank, (name, share) in enumerate(kept)
    ]


def _candidates(explanation: Explanation) -> object:
    fastest = [one for one in explanation.candidates if one.time_s is not None]
    kept = [one for index, one in enumerate(fastest) if index < MOST_CANDIDATES or one.is_chosen]
    left = len(explanation.candidates) - len(kept)
    table = pd.DataFrame([_candidate_row(one) for one in kept])
    note = f"{left} more were measured; samples.csv has all." if left else ""
    return Exhibit(table, note, f"Candidates of {explanation.step.name}", candidates=True).markup()


def _candidate_row(one: Explained) -> dict[str, object]:
    predicted, low, high = (1e3 * value for value in one.expected_s)
    return {
        "": "chosen" if one.is_chosen else "",
        "algorithm": one.algorithm,
        "split and tile": f"{one.split} {one.tile}".strip(),
        "layouts": one.layouts.replace("->", "→"),
        "alone, ms": None if one.time_s is None else 1e3 * one.time_s,
        "predicted, ms (modelled)": predicted,
        "from": low,
        "to": high,
        "network, ms": None if one.through_s is None else 1e3 * one.through_s,
    }
