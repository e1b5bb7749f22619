from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.errors import UsageError
from explorer.settings import RunSettings, parse_board_options, parse_memory, parse_shapes, parse_ssh


def test_shapes_are_read_by_name() -> None:
    assert parse_shapes(["data=1,3,224,224", "a=b=2"]) == {"data": (1, 3, 224, 224), "a=b": (2,)}


@pytest.mark.parametrize("text", ["data", "=1,2", "data=", "data=1,x", "data=1,-3", "data=0", "data=1,,2"])
def test_malformed_shapes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shape input=1,3,224,224"):
        parse_shapes([text])


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 << 20), ("1.5 KiB", 1536), ("500kB", 500_000), ("7", 7), ("8B", 8), (None, None)],
)
def test_sizes_of_memory_have_units(text: str | None, size: int | None) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["0", "0.4B", "MiB", "-3", "1e9", "nan", "64 XiB", ""])
def test_what_is_no_size_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="64MiB"):
        parse_memory(text)


@pytest.mark.parametrize("other", [{"robust": True}, {"objective": "front"}])
def test_a_cap_on_memory_is_of_one_plan(other: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--max-memory"):
        RunSettings(max_memory_bytes=1, **other)


def test_ssh_places_have_defaults() -> None:
    full = parse_ssh("pi@board.local:2222", Path("key"), Path("hosts"))
    assert full is not None
    assert (full.user, full.host, full.port, full.key_path) == ("pi", "board.local", 2222, Path("key"))
    bare = parse_ssh("board", None, None)
    assert bare is not None and (bare.user, bare.port) == (None, 22)
    six = parse_ssh("pi@[::1]:22", None, None)
    assert six is not None and six.host == "::1"
    assert parse_ssh(None, None, None) is None


@pytest.mark.parametrize("place", ["", "a@", "host:", "host:0", "host:99999", "a@b@c", "ho st"])
def test_malformed_places_are_refused(place: str) -> None:
    with pytest.raises(UsageError, match="--ssh"):
        parse_ssh(place, None, None)


def test_a_key_without_a_place_is_refused() -> None:
    with pytest.raises(UsageError, match="--ssh-key"):
        parse_ssh(None, Path("key"), None)


def test_results_are_filed_under_model_and_device() -> None:
    assert RunSettings().directory == Path("results/runs/mobilenet_v1-pi-zero")
    settings = RunSettings(device="boards/mine.toml", model=Path("x/net.onnx"))
    assert settings.directory == Path("results/runs/net-mine")


def test_options_of_a_board_s_own_are_read_by_name() -> None:
    assert parse_board_options(["serial=a=b", "empty="]) == {"serial": "a=b", "empty": ""}


@pytest.mark.parametrize("texts", [["serial"], ["=R58"], ["a=1", "a=2"]])
def test_malformed_options_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="--board-option"):
        parse_board_options(texts)
