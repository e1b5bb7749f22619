"""`explore devices`, `--device` with a named board, and `explore doctor`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microbench.devices import read_devices
from microbench.profile import known_profiles
from tests.explorer.command_line import explore, null_run, refused
from tests.microbench.loopback_sshd import LoopbackServer, free_port, home_directory, sshd

__all__ = ["home_directory", "sshd"]

pytestmark = pytest.mark.usefixtures("home_directory")


def added(
    server: LoopbackServer, devices: Path, *more: str, name: str = "near", profile: str = "pi-zero"
) -> None:
    """Names the test's server as a board."""
    reach = ("--host", "127.0.0.1", "--port", str(server.port), "--user", server.user)
    keys = ("--key", server.directory / "user_key", "--known-hosts", server.known_hosts)
    result = explore("devices", "add", name, "--profile", profile, *reach, *keys, *more, "--devices", devices)
    assert result.exit_code == 0, result.output


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    return tmp_path / "config" / "devices.toml"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without boards of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_profiles_and_configured_boards_are_listed(devices: Path) -> None:
    nothing = explore("devices", "--devices", devices)
    assert nothing.exit_code == 0
    assert "no boards are configured" in nothing.output
    for name in known_profiles():
        assert name in nothing.output
    add = explore(
        "devices",
        "add",
        "kitchen",
        "--profile",
        "pi-4",
        "--host",
        "pi.local",
        "--jump",
        "me@gate",
        "--devices",
        devices,
    )
    assert add.exit_code == 0, add.output
    listed = explore("devices", "--devices", devices).output
    assert "kitchen" in listed and "pi.local:22 through me@gate" in listed


def test_without_devices_the_user_s_own_file_is_used(home: Path) -> None:
    assert explore("devices", "add", "mine", "--profile", "pi-1", "--host", "h").exit_code == 0
    written = home / "explore-edge" / "devices.toml"
    assert read_devices(written)["mine"].profile == "pi-1"
    assert "mine" in explore("devices").output


def test_ways_to_reach_a_device_are_listed_with_their_options() -> None:
    listed = explore("devices").output
    for words in ("Times are this machine's clock", "fingerprint (str, default ''): hash of the"):
        assert words in listed


def test_a_board_may_be_added_without_a_host(devices: Path) -> None:
    words = ("--profile", "pi-zero", "--board", "replay", "--board-option", "fingerprint=ab")
    added = explore("devices", "add", "old", *words, "--devices", devices)
    assert added.exit_code == 0 and "old: board replay" in added.output
    board = read_devices(devices)["old"]
    assert (board.host, board.board, board.board_options) == (None, "replay", {"fingerprint": "ab"})
    assert "board replay" in explore("devices", "--devices", devices).output
    refused(
        explore("devices", "add", "no", "--profile", "pi-1", "--devices", devices),
        "host is missing",
        "add it",
    )


def test_adding_twice_wants_replace(devices: Path) -> None:
    add = ("devices", "add", "a", "--host", "h", "--devices", devices, "--profile")
    assert explore(*add, "pi-1").exit_code == 0
    refused(explore(*add, "pi-2"), "'a'", "--replace", str(devices))
    assert read_devices(devices)["a"].profile == "pi-1"
    assert explore(*add, "pi-2", "--replace").exit_code == 0
    assert read_devices(devices)["a"].profile == "pi-2"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("a;b", "--profile", "pi-1", "--host", "h"), "no name"),
        (("a", "--profile", "pi-nine", "--host", "h"), "pi-nine"),
        (("a", "--profile", "pi-1", "--host", "h`id`"), "host"),
        (("a", "--profile", "pi-1", "--host", "h", "--jump", "$(x) y"), "jump"),
    ],
)
def test_what_cannot_be_a_board_is_not_added(devices: Path, words: tuple[str, ...], text: str) -> None:
    refused(explore("devices", "add", *words, "--devices", devices), text)
    assert not devices.exists()


def test_a_malformed_file_is_named_by_every_command(devices: Path, tmp_path: Path) -> None:
    devices.parent.mkdir()
    devices.write_text('[boards.a]\nprofile = "pi-1"\nhots = "h"\nhost = "h"\n')
    for words in (
        ("devices",),
        ("devices", "test", "a"),
        ("doctor", "--device", "a"),
        ("run", "--device", "a", "--out", str(tmp_path / "out")),
    ):
        refused(explore(*words, "--devices", devices), str(devices), "boards.a.hots", "remove it")


def test_the_connection_to_a_named_board_is_tried(sshd: LoopbackServer, devices: Path) -> None:
    added(sshd, devices)
    result = explore("devices", "test", "near", "--devices", devices)
    assert result.exit_code == 0, result.output
    assert f"127.0.0.1:{sshd.port} answers: virtual pi-zero" in result.output
    refused(explore("devices", "test", "far", "--devices", devices), "'far'", "near", "devices add")


def test_a_named_board_is_reached_through_its_jump_host(sshd: LoopbackServer, devices: Path) -> None:
    added(sshd, devices, "--jump", f"{sshd.user}@127.0.0.1:{sshd.port}", profile="host")
    result = explore("devices", "test", "near", "--devices", devices)
    assert result.exit_code == 0, result.output
    assert "through" in result.output and "answers: ssh " in result.output
    with_stranger = ("--jump", f"{sshd.user}@127.0.0.1:{free_port()}", "--replace")
    added(sshd, devices, *with_stranger, profile="host")
    refused(explore("devices", "test", "near", "--devices", devices), "cannot connect", with_stranger[1])


def test_a_run_takes_a_named_board_first(
    model: Path, devices: Path, tmp_path: Path, sshd: LoopbackServer
) -> None:
    added(sshd, devices, name="pi-3", profile="pi-zero")
    result = explore(*null_run(model, tmp_path, "--device", "pi-3", "--devices", devices))
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["device"] == "pi-zero"


def test_a_plan_is_compiled_for_a_named_board(model: Path, devices: Path, tmp_path: Path) -> None:
    assert explore(*null_run(model, tmp_path)).exit_code == 0
    for name, profile in (("zero", "pi-zero"), ("three", "pi-3")):
        add = ("devices", "add", name, "--profile", profile, "--host", "h", "--devices", devices)
        assert explore(*add).exit_code == 0
    words = ("compile", tmp_path / "out" / "plan.json", "--model", model, "--devices", devices, "--out")
    result = explore(*words, tmp_path / "bundle", "--device", "zero")
    assert result.exit_code == 0, result.output
    refused(explore(*words, tmp_path / "other", "--device", "three"), "was made for device 'pi-zero'")


def test_a_run_on_a_cpu_alone_tells_how_to_name_a_board(model: Path, tmp_path: Path, home: Path) -> None:
    result = explore("run", "--model", model, "--device", "pi-4", "--board", "ssh", "--out", tmp_path / "out")
    refused(result, "pi-4", "--ssh user@host", "explore devices add")


def test_the_doctor_wants_to_know_where_the_board_is(home: Path) -> None:
    refused(explore("doctor", "--device", "pi-zero"), "no board that could be examined", "devices add")


def test_the_doctor_ends_with_1_where_a_check_failed(sshd: LoopbackServer, devices: Path) -> None:
    added(sshd, devices)
    result = explore("doctor", "--device", "near", "--devices", devices)
    assert result.exit_code == 1, result.output
    assert "there is none" in result.output and "Raspberry Pi OS" in result.output
    assert "/dev/vcio" in result.stderr


def test_the_doctor_ends_with_0_on_a_cpu_of_this_kind(sshd: LoopbackServer, devices: Path) -> None:
    added(sshd, devices, profile="host")
    result = explore("doctor", "--device", "near", "--devices", devices, "--json")
    assert result.exit_code == 0, result.output
    verdicts = {diagnosis["check"]: diagnosis["verdict"] for diagnosis in json.loads(result.stdout)}
    assert verdicts["runner"] == verdicts["key"] == "ok"


def test_the_doctor_of_an_unreachable_board(home: Path) -> None:
    result = explore("doctor", "--device", "pi-zero", "--ssh", f"pi@127.0.0.1:{free_port()}", "--json")
    assert result.exit_code == 1
    assert [diagnosis["check"] for diagnosis in json.loads(result.stdout)] == ["reachable"]
