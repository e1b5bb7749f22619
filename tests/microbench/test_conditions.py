"""Readings of a board: what its kernel shows, and None for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from microbench.boards.local_machine import serial_hash
from microbench.conditions import Conditions, as_plain, of_plain, read_local_conditions
from microbench.errors import BoardError


def test_readings_come_from_the_kernels_files(tmp_path: Path) -> None:
    for name, content in {
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
        "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1000000\n",
        "devices/system/cpu/cpu2/cpufreq/scaling_cur_freq": "<unknown>\n",
        "class/thermal/thermal_zone0/temp": "48312\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(content)
    assert read_local_conditions(tmp_path) == Conditions(cpu_clock_hz=1e9, temperature_c=48.312)


def test_a_machine_without_sensors_cannot_tell(tmp_path: Path) -> None:
    assert read_local_conditions(tmp_path) == Conditions()


def test_readings_survive_their_plain_form() -> None:
    readings = (Conditions(), Conditions(1e9, 2.5e8, -3.0, 1.2, 0), Conditions(throttle_flags=0x50005))
    assert as_plain(readings)[0] == {}
    assert of_plain(as_plain(readings)) == readings


def test_a_machine_is_told_from_others_without_its_id(tmp_path: Path) -> None:
    first, second, empty = (tmp_path / name for name in ("a", "b", "c"))
    first.write_text("0123456789abcdef0123456789abcdef\n")
    second.write_text("1123456789abcdef0123456789abcdef\n")
    empty.write_text("\n")
    assert serial_hash(first) == serial_hash(first) != serial_hash(second)
    assert len(serial_hash(first)) == 16 and serial_hash(first) not in first.read_text()
    assert serial_hash(empty) == serial_hash(tmp_path / "absent") == ""


@pytest.mark.parametrize(
    "field",
    [
        {"cpu_clock_hz": float("nan")},
        {"temperature_c": "warm"},
        {"throttle_flags": -1},
        {"throttle_flags": 1.5},
        {"voltage_v": True},
    ],
)
def test_no_sensor_gives_such_a_value(field: dict[str, object]) -> None:
    with pytest.raises(BoardError, match=next(iter(field)).split("_")[0]):
        of_plain((field,))
