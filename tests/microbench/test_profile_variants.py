"""Named variants of a profile: other values of some constants, chosen by what follows the device's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.settings import RunSettings
from microbench.devices import find_device
from microbench.errors import ProfileError
from microbench.profile import known_profiles, load_profile, split_variants
from microbench.registry import open_board

WITH_QPUS = [name for name in known_profiles() if load_profile(name).v3d]


@pytest.mark.parametrize("name", WITH_QPUS)
def test_every_board_with_qpus_has_the_variants_that_published_times_leave_open(name: str) -> None:
    stock = load_profile(name)
    assert {"uniform-sdram", "uniform-0", "lowest-first"} <= set(stock.variants)
    extra = {
        variant: tuple(
            load_profile(variant).v3d_value(f"uniform_{extra}")
            for extra in ("l2_extra_cycles", "sdram_extra_s")
        )
        for variant in (name, f"{name}:uniform-sdram", f"{name}:uniform-0")
    }
    assert extra == {name: (77, 308e-9), f"{name}:uniform-sdram": (0, 308e-9), f"{name}:uniform-0": (0, 0)}
    assert load_profile(f"{name}:lowest-first").v3d_value("lowest_qpu_first") == 1 - stock.v3d_value(
        "lowest_qpu_first"
    )


def test_a_variant_changes_its_constants_alone_and_says_why() -> None:
    stock, other = load_profile("pi-zero"), load_profile("pi-zero:lowest-first")
    changed = {name for name in stock.v3d if stock.v3d[name] != other.v3d[name]}
    assert changed == {"lowest_qpu_first"}
    assert other.v3d["lowest_qpu_first"].source == stock.variants["lowest-first"].source
    assert other.v3d["lowest_qpu_first"].unit == stock.v3d["lowest_qpu_first"].unit


def test_variants_add_up_in_the_order_they_are_named() -> None:
    both = load_profile("pi-zero:uniform-sdram:lowest-first")
    assert both.name == "pi-zero:uniform-sdram:lowest-first"
    assert both.v3d_value("uniform_l2_extra_cycles") == 0 and both.v3d_value("lowest_qpu_first") == 1


def test_samples_of_variants_are_never_shared() -> None:
    """Not even where a variant has the values of another."""
    prints = set()
    for name in ("pi-zero", "pi-zero:uniform-0", "pi-zero:uniform-sdram:uniform-0"):
        with open_board(name) as board:
            assert board.fingerprint().board == f"virtual {name}"
            prints.add(board.fingerprint().hash)
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("device", "name", "variants"),
    [
        ("pi-zero", "pi-zero", ()),
        ("pi-zero:uniform-0:lowest-first", "pi-zero", ("uniform-0", "lowest-first")),
        ("boards/a:b.toml", "boards/a:b.toml", ()),
        ("boards/b.toml:uniform-0", "boards/b.toml", ("uniform-0",)),
    ],
)
def test_variants_follow_the_name_or_the_file(device: str, name: str, variants: tuple[str, ...]) -> None:
    assert split_variants(device) == (name, variants)


@pytest.mark.parametrize("device", ["pi-zero:uniform-1", "pi-zero:", "host:uniform-0"])
def test_an_unknown_variant_is_refused_and_the_known_ones_are_listed(device: str) -> None:
    with pytest.raises(ProfileError, match=r"variant|unknown device"):
        load_profile(device)


def test_a_variant_of_a_constant_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(
        'name = "a"\ntitle = "A"\nboard = "null"\ncpu = "x"\ncores = 1\ncompiler_target = ""\n'
        '[variants.fast]\nsource = "assumed"\nv3d = { clock_hz = 1 }\n'
    )
    with pytest.raises(ProfileError, match="'fast' changes clock_hz"):
        load_profile(str(path))


def test_a_named_board_has_the_variants_of_its_profile(tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    path.write_text('[boards.kitchen]\nprofile = "pi-zero"\nhost = "192.0.2.7"\n')
    found = find_device("kitchen:uniform-0", path)
    assert found.profile == "pi-zero:uniform-0" and found.ssh is not None
    assert find_device("pi-zero:uniform-0", path).profile == "pi-zero:uniform-0"


def test_runs_of_variants_have_directories_of_their_own() -> None:
    names = {
        str(RunSettings(device=f"pi-zero{v}").directory.name) for v in ("", ":uniform-0", ":lowest-first")
    }
    assert len(names) == 3 and not any(":" in name for name in names)
