"""Figures of the live page, as SVG without scripts or styles of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from explorer.live.watched import Found, undominated
from explorer.terminal.console import shown
from explorer.terminal.units import seconds

WIDTH, HEIGHT = 560, 200
LEFT, BOTTOM, EDGE = 84, 34, 12


def staircase(best_s: Sequence[tuple[int, float]], samples: int) -> str:
    """The fastest plan so far over the number of samples that it was known after."""
    times = [time_s for _, time_s in best_s]
    x, y = _Scale(0, max(samples, 1), LEFT, WIDTH - EDGE), _time_scale(times)
    points = []
    for number, (at, time_s) in enumerate(best_s):
        until = best_s[number + 1][0] if number + 1 < len(best_s) else samples
        points += [f"{x.at(at):.1f},{y.at(time_s):.1f}", f"{x.at(until):.1f},{y.at(time_s):.1f}"]
    label = f"best plan from {seconds(times[0])} to {seconds(times[-1])} after {samples} samples"
    body = f'<polyline class="line" points="{" ".join(points)}"/>'
    return _figure(label, body, (y, seconds), (x, lambda value: f"{value:.0f} samples"))


def front(plans: Sequence[Found]) -> str:
    """Latency against memory of every plan; filled where no other beats it."""
    times, sizes = [plan.time_s for plan in plans], [plan.memory_bytes for plan in plans]
    x, y = _widened(sizes, LEFT + 6, WIDTH - EDGE - 6), _time_scale(times)
    kept = undominated(plans)
    body = "".join(
        f'<circle class="{"kept" if plan in kept else "beaten"}" cx="{x.at(plan.memory_bytes):.1f}" '
        f'cy="{y.at(plan.time_s):.1f}" r="5"><title>{escape(shown(plan.name))}: {seconds(plan.time_s)}, '
        f"{_size(plan.memory_bytes)}</title></circle>"
        for plan in plans
    )
    return _figure(f"{len(kept)} of {len(plans)} plans are beaten by none", body, (y, seconds), (x, _size))


class _Scale:
    """From values to places along an axis."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.high, self._begin, self._end = low, high, begin, end

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self._begin + share * (self._end - self._begin)


_Axis = tuple[_Scale, Callable[[float], str]]


def _time_scale(times: Sequence[float]) -> _Scale:
    return _widened(times, HEIGHT - BOTTOM - 6, EDGE + 6)


def _widened(values: Sequence[float], begin: float, end: float) -> _Scale:
    """What is equal stands in the middle."""
    return _Scale(min(values), max(values), begin, end)


def _size(value: float) -> str:
    return f"{value / 1024:,.0f} KiB"


def _figure(label: str, body: str, vertical: _Axis, horizontal: _Axis) -> str:
    (y, y_text), (x, x_text) = vertical, horizontal
    base, line = HEIGHT - BOTTOM, f'<line class="axis" x1="{LEFT}"'
    texts = [
        f'<text x="{LEFT - 6}" y="{y.at(value) + 4:.1f}" text-anchor="end">{escape(y_text(value))}</text>'
        for value in dict.fromkeys((y.high, y.low))
    ]
    ends = [(x.low, "start", LEFT), (x.high, "end", WIDTH - EDGE)]
    if x.high <= x.low:
        ends = [(x.low, "middle", (LEFT + WIDTH) // 2)]
    texts += [
        f'<text x="{place}" y="{HEIGHT - 12}" text-anchor="{side}">{escape(x_text(value))}</text>'
        for value, side, place in ends
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'{line} y1="{base}" x2="{WIDTH - EDGE}" y2="{base}"/>{line} y1="{EDGE}" x2="{LEFT}" y2="{base}"/>'
        f"{''.join(texts)}{body}</svg>"
    )
