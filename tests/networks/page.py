"""The page of the study of breadth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.networks.comparisons import BY_PLACE

HOST_TOLERANCE, BOARD_TOLERANCE = 1e-4, 1e-3
MOST_TIMES = 4  # what onnxruntime is off
NOT_SIMULATED = "not simulated"
"""Said of a network that is too large for the virtual board: it is not counted there."""
INTRODUCTION = """\
# Networks that people bring

`python -m tests.networks --work DIR --site SITE_PACKAGES --board --out results/breadth.md`: exports of torchvision,
timm and small modules with seeded weights, of operator sets 7 to 20 by both of torch's exporters, and trained networks
that packages carry. Seeded layers give results of
variance 1, and batch normalisation has the statistics of 16 inputs: with those of one, a network magnifies rounding a
thousandfold, and the comparison tells of that alone. Each is planned by modelled times, without a search, compiled, and
compared with onnxruntime on three seeded inputs: on this machine's CPU, and on the virtual `pi-zero` where a network
has at most 300 million multiply-adds (simulated: no number here was taken on silicon). Errors are the greatest
difference over the standard deviation of the output that it is in; at most 1e-4 is asked for on the host, 1e-3 on the
board. The two host errors in brackets are against the imported graph in float64, of this compiler and of onnxruntime:
the second is how much of rounding the network itself makes. "On QPUs" is the share of the multiply-adds; where it is
less than 95%, the last column says which operators' stay on the CPU, and whether the QPUs have an algorithm for them
that is slower by the modelled times.

Detectors with their post-processing are compared as sets, for of scores within rounding of each other either may come
first. Boxes of one label that overlap by half at least are one detection, the nearest first: it is off by its corners
over the spread of all corners, and by its score over the spread of all scores. What only one side has is off by the
distance of its score from the cut of the side that lacks it (the detector's threshold, or the least score there where
that side is full) over the spread of scores."""


@dataclass(frozen=True)
class Record:
    """What is known in a place, `host` or `board`, of an architecture (`package` empty) or of a package's file."""

    network: str
    package: str
    place: str
    number: int
    family: str
    found: dict[str, Any]


def wrong(records: Sequence[Record]) -> list[Record]:
    """Those that crash, or are off by more than their tolerance: on the host from float64, and by more than a few times
    what onnxruntime is off from it, for then the network itself makes much of rounding; on the board from onnxruntime.
    """
    return [one for one in records if _is_wrong(one)]


def _is_wrong(record: Record) -> bool:
    if record.found.get("reason", "").startswith("crash"):
        return True
    if record.place == "board":
        return record.found.get("error") is not None and not agrees(record)
    error, bound = record.found.get("own_error"), MOST_TIMES * (record.found.get("peer_error") or 0.0)
    return error is not None and not error <= max(_tolerance(record), bound)


def agrees(record: Record) -> bool:
    """Whether its outputs are onnxruntime's."""
    error = record.found.get("error")
    return error is not None and error <= _tolerance(record)


def _tolerance(record: Record) -> float:
    return HOST_TOLERANCE if record.place == "host" else BOARD_TOLERANCE


def page(records: Sequence[Record]) -> str:
    """Markdown: counts, then a table of architectures and one of trained networks."""
    exported = [one for one in records if not one.package]
    carried = [one for one in records if one.package]
    lines = [INTRODUCTION, "", "## Architectures", "", *_counts(exported), ""]
    lines += _table(
        ("network", "family", *COLUMNS),
        [(_text(one.network), one.family) for one in _hosts(exported)],
        exported,
    )
    lines += ["", "## Trained networks", "", *_counts(carried), ""]
    lines += ["The files are the packages' own and no part of this project.", ""]
    heads = [(_text(one.network), one.package, one.family) for one in _hosts(carried)]
    lines += _table(("network", "package", "for", *COLUMNS), heads, carried)
    return "\n".join(lines) + "\n"


COLUMNS = (
    "nodes",
    "multiply-adds",
    "host error",
    "pi-zero error",
    "on QPUs",
    "launches",
    "pi-zero time",
    "why not",
)


def _hosts(records: Sequence[Record]) -> list[Record]:
    return sorted((one for one in records if one.place == "host"), key=lambda one: one.number)


def _counts(records: Sequence[Record]) -> list[str]:
    hosts = _hosts(records)
    boards = [
        one for one in records if one.place == "board" and NOT_SIMULATED not in one.found.get("reason", "")
    ]
    agree, on_board = list(filter(agrees, hosts)), list(filter(agrees, boards))
    families = {one.family for one in agree}
    off = wrong(records)
    lines = [
        f"{len(agree)} of {len(hosts)} agree on the host, of {len(families)} kinds; {len(on_board)} of "
        f"{len(boards)} on the virtual board."
    ]
    near = [one.network for one in hosts if one.found.get("error") and not agrees(one) and one not in off]
    if near:
        lines.append(
            f"Off by rounding on the host, at most {MOST_TIMES} times as far as onnxruntime is from float64: "
            f"{', '.join(near)}."
        )
    rounding = {(one.network, one.package): one.found.get("peer_error") for one in hosts}
    beyond = [
        f"{one.network} ({_error(one.found.get('error'))}, "
        f"onnxruntime is {_error(rounding.get((one.network, one.package)))} from float64)"
        for one in off
        if one.place == "board"
    ]
    if beyond:
        lines.append(
            f"Beyond {BOARD_TOLERANCE:.0e} on the virtual board, whose sums and products are cut where others round: "
            f"{', '.join(beyond)}."
        )
    bad = [f"{one.network} on the {one.place}" for one in off if one.place == "host" or "reason" in one.found]
    lines.append(f"Wrong or crashed: {', '.join(bad)}." if bad else "None is wrong or crashes on the host.")
    return lines


def _table(heads: Sequence[str], names: Sequence[tuple[str, ...]], records: Sequence[Record]) -> list[str]:
    boards = {(one.network, one.package): one.found for one in records if one.place == "board"}
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, record in zip(names, _hosts(records), strict=True):
        own, board = record.found, boards.get((record.network, record.package), {})
        cells = (
            str(own.get("nodes", "-")),
            _millions(own.get("macs")),
            _errors(own),
            _error(board.get("error")),
            "-" if board.get("share") is None else f"{board['share']:.0%}",
            "-" if board.get("launches") is None else str(board["launches"]),
            "-" if board.get("time_s") is None else f"{board['time_s'] * 1e3:.1f} ms",
            _text(own.get("reason") or board.get("reason") or board.get("why_not") or "-"),
        )
        lines.append(f"| {' | '.join((*name, *cells))} |")
    return lines


def _millions(macs: int | None) -> str:
    return "-" if macs is None else f"{macs / 1e6:,.1f} million"


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _errors(found: dict[str, Any]) -> str:
    text = _error(found.get("error"))
    if found.get("own_error") is not None:
        text += f" ({_error(found['own_error'])}, {_error(found['peer_error'])})"
    compared = found.get("compared", BY_PLACE.name)
    return text if compared == BY_PLACE.name else f"{text} {compared}"


def _text(text: str) -> str:
    """One line that fits a cell, without the machine's paths."""
    line = re.sub(r"/\S*/", "", " ".join(text.split())).replace("|", "/")
    return line if len(line) <= 240 else line[:237] + "..."
