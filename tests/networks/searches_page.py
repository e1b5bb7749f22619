"""The page of networks that were searched fully."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONG_S = 600.0  # of processor time: longer searches are told
INTRODUCTION = """\
# Networks searched fully

`python -m tests.networks.searches --work DIR --models DIR --site SITE_PACKAGES --out results/searches.md`: each line is
one `explore run --device pi-zero --model FILE` by default options from an empty store, seed 0, batch 1, float32. Times
are of the virtual board (simulated: no number here was taken on silicon); "of peak" is the multiply-adds of direct
computation, whatever the algorithm, over what the QPUs could do in that time; "on QPUs" the share of the multiply-adds
that they do, "on the CPU" that of the time that steps of the CPU take. The error is the greatest difference from
onnxruntime on three inputs over the largest output; 1e-3 is allowed. "Search" is the processor time of the whole
command on this machine: the search and the simulation, the composition, the compilation and the check."""
COLUMNS = (
    "network",
    "what it is",
    "input",
    "multiply-adds",
    "time",
    "launches",
    "of peak",
    "on QPUs",
    "on the CPU",
    "candidates",
    "search",
    "error",
)


@dataclass(frozen=True)
class Found:
    """What is known of a search by its network's name: see `_results` of the command."""

    name: str
    purpose: str
    found: dict[str, Any]


def page(searches: Sequence[Found]) -> str:
    """Markdown: a table, then what is to be said of single networks."""
    done = [one for one in searches if not one.found.get("reason")]
    within = [one for one in done if one.found["error"] <= one.found["tolerance"]]
    lines = [
        INTRODUCTION,
        "",
        f"{len(done)} of {len(searches)} were searched; {len(within)} are within the tolerance.",
    ]
    lines += ["", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(_cells(one))} |" for one in done]
    notes = [f"- {one.name}: {note}." for one in searches for note in _notes(one.found)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _cells(one: Found) -> tuple[str, ...]:
    found = one.found
    sizes = ", ".join("x".join(map(str, shape)) for shape in found["shapes"].values())
    return (
        one.name,
        one.purpose,
        sizes,
        f"{found['macs'] / 1e6:,.0f} million",
        f"{found['time_s'] * 1e3:,.1f} ms",
        str(found["launches"]),
        _share(found["peak_share"]),
        _share(found["launched"]),
        _share(found["cpu_share"]),
        f"{found['measured']:,}",
        f"{found['processor_s']:,.0f} s",
        f"{found['error']:.1e}",
    )


def _notes(found: Mapping[str, Any]) -> list[str]:
    if found.get("reason"):
        return [f"not searched, {' '.join(found['reason'].split())}"]
    notes = [f"multiply-adds on the CPU: {found['why_not']}"] if found["why_not"] else []
    if found.get("rounding") is not None:
        notes.append(
            f"the check is beyond {found['tolerance']:.0e}; on random inputs onnxruntime itself is off from float64 by "
            f"{found['rounding']:.1e} of the output's spread"
        )
    if found.get("own_error") is not None:
        notes.append(
            "on three pictures of what it was trained for, in place of random inputs, the error is "
            f"{found['own_error']:.1e} of the output's spread"
        )
    if found["processor_s"] > LONG_S:
        notes.append(f"the search takes {found['processor_s'] / 60:.0f} minutes of processor time")
    return notes


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
