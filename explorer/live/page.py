"""The live page: its frame, which stays, and the view within it, which is made anew each time it is asked for.

Every text of the journal may be anybody's, for a model's layers are named by who wrote it: it is escaped, and
characters that command something are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from explorer.live.charts import front, staircase
from explorer.live.watched import Taken, Watched, undominated
from explorer.terminal.console import shown
from explorer.terminal.units import seconds

REFRESH_S = 1
_MOST_DUE = 5
_ENDS = {
    "finished": "The run has finished.",
    "failed": "The run has failed:",
    "interrupted": "The run was interrupted; the same command goes on where it stopped.",
    "killed": "The run was killed; the same command goes on where it stopped.",
}


def page(watched: Watched) -> str:
    """The whole page; where scripts are off, the browser loads it again by itself until the run has ended."""
    again = "" if watched.ended else f'<noscript><meta http-equiv="refresh" content="{REFRESH_S}"></noscript>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(_title(watched))}</title><link rel="stylesheet" href="live.css">{again}'
        f'<script src="live.js" defer></script></head><body><main id="view" data-refresh="{REFRESH_S}">'
        f"{view(watched)}</main></body></html>"
    )


def view(watched: Watched) -> str:
    """What changes: the page's content, without its frame."""
    return "".join(_parts(watched))


def _title(watched: Watched) -> str:
    return f"{watched.about.get('model', '')} on {watched.about.get('device', '')}"


def _parts(watched: Watched) -> Iterator[str]:
    yield f'<h1>{_text(_title(watched))}</h1><p class="about">{_text(watched.about.get("directory", ""))}</p>'
    if watched.ended:
        yield f'<p class="ended" role="status">{_ENDS[watched.ended]} {_text(watched.message)}</p>'
    yield from _state(watched)
    if watched.best_s:
        kinds = " + ".join(sorted(watched.kinds)) or "nothing yet"
        yield f'<section><h2>Best plan so far</h2><p class="best">{seconds(watched.best_s[-1][1])} '
        yield f"<span>expected: composed of what is measured ({_text(kinds)}) and predicted</span></p>"
        yield f"{staircase(watched.best_s, watched.samples)}</section>"
    if watched.plans:
        yield from _plans(watched)
    if watched.due and not watched.ended:
        yield from _due(watched)
    if watched.recent:
        yield from _recent(watched)
        yield from _layers(watched)


def _state(watched: Watched) -> Iterator[str]:
    yield '<dl class="state">'
    yield _pair("now", "nothing" if watched.ended else watched.phase or "begins")
    if watched.expected and not watched.ended:
        yield _pair("done", f"{watched.done} of {watched.expected}")
    if watched.left_s is not None and not watched.ended:
        yield _pair("left of this phase", f"about {watched.left_s:.0f} s")
    if watched.left:
        yield _pair("budget", watched.left)
    yield _pair("time so far", f"{watched.at_s:.0f} s")
    yield _pair("samples", f"{watched.samples}, {watched.new} of them new, {watched.unusable} unusable")
    yield "</dl>"


def _plans(watched: Watched) -> Iterator[str]:
    plans = sorted(watched.plans.values(), key=lambda plan: plan.time_s)
    kept = undominated(plans)
    yield "<section><h2>Whole plans</h2>"
    if len(plans) > 1:
        yield front(plans)
    yield from _table(
        ("plan", "time", "time is", "activations", ""),
        (
            (
                p.name,
                seconds(p.time_s),
                p.kind,
                f"{p.memory_bytes / 1024:,.0f} KiB",
                "" if p in kept else "beaten",
            )
            for p in plans
        ),
    )
    yield "</section>"


def _due(watched: Watched) -> Iterator[str]:
    reasons = list(watched.due.values())
    yield "<section><h2>Measured now, and why</h2><ol>"
    yield from (f"<li>{_text(reason)}</li>" for reason in reasons[:_MOST_DUE])
    yield "</ol>"
    if len(reasons) > _MOST_DUE:
        yield f"<p>{len(reasons) - _MOST_DUE} more in this round</p>"
    yield "</section>"


def _recent(watched: Watched) -> Iterator[str]:
    yield "<section><h2>Latest samples</h2>"
    yield from _table(
        ("in the store", "layer", "algorithm", "time", "time is", "from", "why"),
        (
            (
                str(t.id or "-"),
                t.layer,
                t.algorithm,
                _time(t),
                t.kind,
                _source(t),
                t.reason,
            )
            for t in watched.recent
        ),
    )
    yield "</section>"


def _layers(watched: Watched) -> Iterator[str]:
    yield "<section><h2>Fastest of each layer so far</h2>"
    yield from _table(
        ("layer", "algorithm", "time", "time is", "samples"),
        (
            (
                name,
                best.algorithm if best else "-",
                _time(best),
                best.kind if best else "-",
                str(layer.samples),
            )
            for name, layer in watched.layers.items()
            for best in (layer.fastest,)
        ),
    )
    yield "</section>"


def _source(taken: Taken) -> str:
    return "the board" if taken.measured else "the store"


def _time(taken: Taken | None) -> str:
    if taken is None or taken.time_s is None:
        return "-"
    return seconds(taken.time_s) if taken.status == "ok" else taken.status


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield '<div class="table"><table><thead><tr>'
    yield from (f'<th scope="col">{_text(heading)}</th>' for heading in headings)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"


def _pair(name: str, value: str) -> str:
    return f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"


def _text(text: str) -> str:
    return escape(shown(text))
