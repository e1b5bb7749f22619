"""Series of readings: what they carry, and every way in which they contradict themselves."""

from __future__ import annotations

import json

import pytest

from microbench.board import Measurement
from microbench.errors import BoardError, SeriesError
from microbench.series import Series, plain_series, series_of_plain
from microbench.store import Sample
from tests.microbench.measured import FINGERPRINT, candidate, work

POWER = Series("power", "W", (3.0, 4.0, 8.0), (0.0, 0.5, 0.5))
WARMTH = Series("temperature of the case", "°C", (48.5,))


def test_series_survive_json() -> None:
    assert series_of_plain(json.loads(json.dumps(plain_series((POWER, WARMTH))))) == (POWER, WARMTH)
    assert POWER.mean == 5.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "W", (1.0,)), "needs a name"),
        ((" ", "W", (1.0,)), "needs a name"),
        (("power", "", (1.0,)), "needs a unit"),
        (("power", "W\n", (1.0,)), "needs a unit"),
        (("power", 1, (1.0,)), "needs a unit"),
        (("power", "W", ()), "no values"),
        (("power", "W", (1.0, float("nan"))), "finite"),
        (("power", "W", (True,)), "finite"),
        (("power", "W", ("1",)), "finite"),
        (("power", "W", (1.0,), (float("inf"),)), "finite"),
        (("power", "W", (1.0, 2.0), (0.0,)), "2 values and 1 times"),
        (("power", "W", (1.0, 2.0), (0.2, 0.1)), "go back"),
    ],
)
def test_a_series_that_contradicts_itself_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(SeriesError, match=message):
        Series(*arguments)  # type: ignore[arg-type]


def test_a_quantity_is_named_once_in_a_measurement_and_in_a_sample() -> None:
    with pytest.raises(SeriesError, match="two series 'power'"):
        Measurement((1.0,), "host", series=(POWER, WARMTH, POWER))
    with pytest.raises(SeriesError, match="two series 'power'"):
        Sample(candidate(), FINGERPRINT, "host", "ok", (1.0,), work(), series=(POWER, POWER))


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError):
        series_of_plain([{"name": "power", "unit": "W", "values": [1.0], "colour": "red"}])
    assert issubclass(SeriesError, BoardError)
