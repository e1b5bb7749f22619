"""Named boards: the file, what is refused in it, writing it, and what `--device NAME` then means."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microbench.boards.ssh_runner import backend_for
from microbench.devices import NamedBoard, check_name, find_device, parse_devices, parse_place, read_devices
from microbench.devices_file import add_board, new_board
from microbench.errors import BoardError, DevicesError, ProfileError
from microbench.options import SshOptions
from microbench.profile import known_profiles, load_profile
from microbench.registry import open_board

KITCHEN = """\
# boards at home
[boards.kitchen]
profile = "pi-zero" # the white one
host = "192.168.1.20"
port = 2222
user = "pi"
key = "~/keys/board"
known_hosts = "/etc/known"
jump = "me@gate.example:2200"
"""


def file_with(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "devices.toml"
    path.write_text(text, encoding="utf-8")
    return path


def board(**changes: object) -> NamedBoard:
    fields: dict[str, object] = {"profile": "pi-zero", "host": "pi.local"}
    return new_board(**{**fields, **changes})


def test_a_board_is_read_with_everything_that_reaches_it(tmp_path: Path) -> None:
    found = find_device("kitchen", file_with(tmp_path, KITCHEN))
    key, known = Path.home() / "keys/board", Path("/etc/known")
    jump = SshOptions("gate.example", 2200, "me", key, known)
    assert found.profile == "pi-zero"
    assert found.ssh == SshOptions("192.168.1.20", 2222, "pi", key, known, jump=jump)


def test_a_board_goes_before_a_profile_of_its_name_and_a_profile_needs_no_file(tmp_path: Path) -> None:
    path = file_with(tmp_path, '[boards.pi-zero]\nprofile = "pi-3"\nhost = "h"\n')
    assert find_device("pi-zero", path).profile == "pi-3"
    for other in (tmp_path / "none.toml", None):
        assert find_device("pi-zero", other).ssh is None


def test_the_profile_of_a_board_is_known_or_a_file_beside(tmp_path: Path) -> None:
    path = file_with(tmp_path, '[boards.a]\nprofile = "mine.toml"\nhost = "h"\n')
    assert find_device("a", path).profile == str(tmp_path / "mine.toml")
    path = file_with(tmp_path, '[boards.a]\nprofile = "pi-nine"\nhost = "h"\n')
    with pytest.raises(DevicesError, match=r"devices\.toml: boards\.a\.profile.*pi-nine.*pi-zero-2"):
        find_device("a", path)


def test_an_unknown_device_lists_boards_and_profiles(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"(?s)pi-nine.*kitchen.*pi-zero.*devices add"):
        find_device("pi-nine", file_with(tmp_path, KITCHEN))


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        (
            '[boards.a]\nprofile = "pi-1"\nhots = "h"\nhost = "h"\n',
            "boards.a.hots",
            "known here: profile, host",
        ),
        ('[board.a]\nprofile = "pi-1"\n', "board", "known here: boards"),
        ('[boards.a]\nprofile = "pi-1"\n', "boards.a: host is missing", "add it"),
        ('[boards.a]\nprofile = "pi-1"\nboard = "null"\nuser = "pi"\n', "host is missing for user", "add it"),
        ('[boards.a]\nprofile = "pi-1"\nboard = "-"\n', "boards.a.board", "correct it"),
        ('[boards.a]\nprofile = "pi-1"\nboard = "null"\nboard_options = 3\n', "board_options", "correct it"),
        ('[boards.a]\nprofile = "pi-1"\nhost = "h"\nport = 70000\n', "boards.a.port", "correct it"),
        ('[boards.a]\nprofile = "pi-1"\nhost = "h"\nport = "22"\n', "boards.a.port", "correct it"),
        ('[boards.a]\nprofile = "pi-1"\nhost = "h; reboot"\n', "boards.a.host", "correct it"),
        ('[boards.a]\nprofile = "pi-1"\nhost = "-oProxyCommand=x"\n', "boards.a.host", "correct it"),
        ('[boards.a]\nprofile = "pi-1"\nhost = "h"\nuser = "$(id)"\n', "boards.a.user", "correct it"),
        ('[boards.a]\nprofile = "pi-1"\nhost = "h"\njump = "a b"\n', "boards.a.jump", "correct it"),
        ('[boards."a;b"]\nprofile = "pi-1"\nhost = "h"\n', "a;b", "correct it"),
        ('[boards.a]\nhost = "h"\n[boards.a]\n', "line 3", "mend that line"),
        ("boards = 3\n", "boards", "correct it"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_place_and_remedy(
    tmp_path: Path, text: str, place: str, remedy: str
) -> None:
    path = file_with(tmp_path, text)
    with pytest.raises(DevicesError) as told:
        read_devices(path)
    for part in (str(path), place, remedy):
        assert part in str(told.value)


@given(st.text(max_size=80))
def test_a_name_is_letters_digits_and_dashes_or_refused(name: str) -> None:
    plain = 0 < len(name) <= 63 and name.isascii() and name.replace("-", "").isalnum()
    if plain and not name.startswith("-") and not name.endswith("-"):
        assert check_name(name) == name
    else:
        with pytest.raises(ValueError, match="no name"):
            check_name(name)


@given(st.text(max_size=40))
def test_no_host_holds_what_a_shell_or_ssh_would_read_as_more(host: str) -> None:
    try:
        found = board(host=host).host
    except DevicesError:
        return
    assert (
        found
        and not found.startswith("-")
        and not set(found) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%")
    )


def test_places_may_be_short_and_ipv6() -> None:
    assert parse_place("gate") == (None, "gate", 22)
    assert parse_place("pi@[fe80::1]:2200") == ("pi", "fe80::1", 2200)
    assert board(host="fe80::1").host == "fe80::1"


def test_adding_makes_the_file_keeps_comments_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "devices.toml"
    add_board(path, "first", board())
    assert read_devices(path) == {"first": board()}
    path.write_text(KITCHEN)
    add_board(path, "shelf-2", board(profile="pi-3", port=23))
    text = path.read_text()
    assert text.startswith(KITCHEN)
    assert set(tomllib.loads(text)["boards"]) == {"kitchen", "shelf-2"}
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_taken_name_is_refused_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    path = file_with(tmp_path, KITCHEN + '\n[boards.other]\nprofile = "pi-1"\nhost = "o"\n')
    with pytest.raises(DevicesError, match=r"'kitchen'.*--replace"):
        add_board(path, "kitchen", board())
    assert read_devices(path)["kitchen"].port == 2222
    add_board(path, "kitchen", board(), replace=True)
    assert read_devices(path) == {"kitchen": board(), "other": board(profile="pi-1", host="o")}
    assert path.read_text().startswith("# boards at home\n")


@pytest.mark.parametrize("name", ["", "a b", "a.b", "-a", "a;reboot", "../x", "x" * 64])
def test_a_bad_name_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(DevicesError, match="no name"):
        add_board(tmp_path / "devices.toml", name, board())
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_malformed_or_cannot_be_written_stays_as_it_is(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[boards.a\n")
    with pytest.raises(DevicesError, match="not TOML"):
        add_board(path, "b", board())
    assert path.read_text() == "[boards.a\n"
    with pytest.raises(DevicesError, match=r"cannot be (read|written)"):
        add_board(path / "below", "b", board())


@given(
    key=st.none() | st.text(min_size=1, max_size=30).filter(str.isprintable),
    port=st.integers(min_value=1, max_value=65535),
)
def test_what_is_written_is_read_back(
    key: str | None, port: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("devices") / "devices.toml"
    written = board(key=key, port=port)
    add_board(path, "a", written)
    assert parse_devices(path.read_text(encoding="utf-8"), "x") == {"a": written}


def test_a_board_that_says_where_it_is_cannot_be_told_again(tmp_path: Path) -> None:
    path = file_with(tmp_path, KITCHEN)
    with pytest.raises(BoardError, match="leave out --ssh"):
        open_board("kitchen", ssh=SshOptions("h"), devices=path)
    with open_board("kitchen", board="null", devices=path) as opened:
        assert (opened.name, opened.profile.name) == ("null", "pi-zero")


def test_a_board_may_be_reached_by_any_registered_class_with_its_own_options(tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    add_board(path, "old", new_board(profile="pi-zero", board="replay", board_options={"fingerprint": "ab"}))
    assert read_devices(path)["old"].place == "board replay"
    store = tmp_path / "samples.sqlite"
    with pytest.raises(BoardError, match="no samples of fingerprint ab"):
        open_board("old", devices=path, store=store)
    with pytest.raises(BoardError, match="no samples of fingerprint cd"):
        open_board("old", devices=path, store=store, options={"fingerprint": "cd"})
    with open_board("old", board="null", devices=path) as opened:  # the options are the replay board's
        assert opened.name == "null"


def test_a_board_that_is_not_reached_over_ssh_has_no_host(tmp_path: Path) -> None:
    path = file_with(tmp_path, '[boards.a]\nprofile = "pi-zero"\nboard = "null"\nhost = "h"\n')
    with pytest.raises(BoardError, match="remove its host"):
        open_board("a", devices=path)


def test_every_board_of_the_family_has_a_profile() -> None:
    assert set(known_profiles()) == {
        "host", "pi-1", "pi-2", "pi-3", "pi-3-64", "pi-4", "pi-zero", "pi-zero-2", "pi-zero-2-64"
    }  # fmt: skip
    zero_2 = load_profile("pi-zero-2")
    assert zero_2.v3d and zero_2.cores == 4 and zero_2.cpu == "cortex-a53"


@pytest.mark.parametrize("name", ["pi-4", "pi-3-64"])
def test_a_cpu_alone_has_no_qpus_to_simulate(name: str) -> None:
    profile = load_profile(name)
    assert not profile.v3d and profile.compiler_target.startswith("aarch64")
    assert all(constant.unit and constant.source for constant in profile.cpu_costs.values())
    with pytest.raises(BoardError, match=rf"{name}.*--ssh user@host.*explore devices add"):
        open_board(name, board="ssh")
    assert backend_for(profile, "aarch64", SshOptions("h")) == "none"
    for machine in ("armv7l", "x86_64"):
        with pytest.raises(BoardError, match=rf"{machine}.*does not run programs of profile '{name}'"):
            backend_for(profile, machine, SshOptions("h"))
    with pytest.raises(BoardError, match="no table"):
        open_board(name, board="virtual")
