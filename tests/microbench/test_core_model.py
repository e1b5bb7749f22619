"""A core's model as data: complete, each constant with its source, told apart by its hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from microbench.emulation import core_model
from microbench.emulation.core_model import CLOCK_DIRECTORY, CoreModel, known_cores, load_core
from microbench.emulation.core_model_32 import PLUGIN_DIRECTORY_32, SHARED, known_cores_32, load_core_32
from microbench.emulation.core_model_out_of_order import (
    PLUGIN_DIRECTORY_OUT_OF_ORDER,
    known_cores_64,
    known_cores_out_of_order,
    load_core_64,
    load_core_out_of_order,
)
from microbench.errors import ProfileError

JUDGES = Path(__file__).parents[2] / "results" / "cpu-clock.md"
PAGE_A72 = JUDGES.with_name("cpu-clock-a72.md")
PAGE_32 = JUDGES.with_name("cpu-clock-32.md")
SOURCES_32 = ("manual", "hardware", "measured", "gcc", "assumed")
SOURCES_OUT_OF_ORDER = ("manual", "guide", "insn_bench", "llvm", "sbc-bench", "assumed")
SOURCES = ("manual", "insn_bench", "qsdr", "ncnn", "loops", "assumed")


@pytest.fixture
def model() -> CoreModel:
    return load_core("cortex-a53")


@pytest.mark.parametrize("name", known_cores())
def test_every_constant_has_a_source_of_the_list_or_is_assumed(name: str) -> None:
    core = load_core(name)
    sources = {name: constant.source for name, constant in (*core.pipeline.items(), *core.memory.items())}
    sources |= {name: row.source for name, row in core.classes.items()}
    assert {name for name, source in sources.items() if not source.startswith(SOURCES)} == set()


@pytest.mark.parametrize("name", known_cores_32())
def test_every_constant_in_32_bit_state_has_a_source_of_the_list_or_is_assumed(name: str) -> None:
    core = load_core_32(name)
    constants = (*core.pipeline.items(), *core.memory.items(), *core.cluster.items())
    sources = {name: constant.source for name, constant in constants}
    sources |= {name: row.source for name, row in core.classes.items()}
    assert {name for name, source in sources.items() if not source.startswith(SOURCES_32)} == set()


@pytest.mark.parametrize("name", known_cores_out_of_order())
def test_every_constant_of_an_out_of_order_core_has_a_source_of_the_list_or_is_assumed(name: str) -> None:
    core = load_core_out_of_order(name)
    constants = (*core.pipeline.items(), *core.memory.items(), *core.cluster.items())
    sources = {name: constant.source for name, constant in constants}
    sources |= {name: row.source for name, row in core.classes.items()}
    sources |= {f"unit {name}": unit.source for name, unit in core.units.items()}
    assert {name for name, source in sources.items() if not source.startswith(SOURCES_OUT_OF_ORDER)} == set()


def test_an_in_order_core_is_hashed_without_what_an_out_of_order_one_adds() -> None:
    wide, reordering = load_core("cortex-a53").sources(1e9), load_core_64("cortex-a72").sources(1e9)
    own = {path.name for path in PLUGIN_DIRECTORY_OUT_OF_ORDER.iterdir()}
    assert own <= reordering.keys() and {"decode.c", "memory.c", "plugin.c"} <= reordering.keys()
    assert wide["pipeline.c"] != reordering["pipeline.c"] and "finer_class.c" not in wide
    assert set(known_cores_64()) == {*known_cores(), *known_cores_out_of_order()}
    with pytest.raises(ProfileError, match="cortex-a53"):
        load_core_64("6502")


def test_the_pipes_of_a_unit_are_bits_of_its_place() -> None:
    header = load_core_out_of_order("cortex-a72").sources(1e9)["core_model.h"]
    # of none, branch, integer, load, multi_cycle, store, vector, vector_0, vector_1; pipes B F0 F1 I0 I1 L M S
    assert "#define UNIT_PIPES {0x0, 0x1, 0x18, 0x20, 0x40, 0x80, 0x6, 0x2, 0x4}" in header


def test_only_assumed_constants_are_varied() -> None:
    core = load_core_out_of_order("cortex-a72")
    changed = core.with_assumed("latencies", 1.5)
    assert changed.classes["divide"].latency == 12 and changed.classes["fused"] == core.classes["fused"]
    assert core.with_assumed("memory latency", 1.5).memory == core.memory  # which is measured


def test_the_plugins_of_both_states_share_what_knows_no_instruction() -> None:
    wide, narrow = load_core("cortex-a53").sources(1e9), load_core_32("cortex-a53").sources(1e9)
    assert {name for name in wide if name in narrow and wide[name] == narrow[name]} == {
        *SHARED,
        "qemu_plugin.h",
    }
    own = {path.name for path in CLOCK_DIRECTORY.iterdir() if path.is_file()}
    assert own <= wide.keys() and {path.name for path in PLUGIN_DIRECTORY_32.iterdir()} <= narrow.keys()


def test_a_core_may_lack_units_but_no_class_that_every_core_has() -> None:
    content = load_core_32("arm1176jzf-s").model_dump()
    assert "vector_fused" not in content["classes"]
    del content["classes"]["load"]
    with pytest.raises(ValueError, match="lacking: load"):
        type(load_core_32("arm1176jzf-s")).model_validate(content)


def test_the_hash_follows_numbers_and_not_words(model: CoreModel) -> None:
    reworded = model.model_copy(deep=True).model_dump()
    reworded["memory"]["l2_cycles"]["source"] = "assumed: in other words"
    assert CoreModel.model_validate(reworded).hash == model.hash
    assert model.with_memory(l2_cycles=14).hash != model.hash
    assert model.with_memory(bytes_per_s=2.5e9).hash != model.hash


def test_the_judges_table_is_of_the_model_as_it_is(model: CoreModel) -> None:
    """A model that changes needs a new table of every judge, before kernels are tuned on it."""
    assert f"Model {model.hash}." in JUDGES.read_text(encoding="utf-8")


def test_the_judges_table_of_an_out_of_order_core_is_of_the_model_as_it_is() -> None:
    model, page = load_core_out_of_order("cortex-a72"), PAGE_A72.read_text(encoding="utf-8")
    assert f"Model {model.hash}." in page
    verdicts = [line for line in page.splitlines() if " networks within 0.80 to 1.25: " in line]
    assert [line.endswith(": judged.") for line in verdicts[:2]] == [True, False]  # of one thread, of four
    assert model.judged_threads == 1


@pytest.mark.parametrize("name", known_cores_32())
def test_the_page_of_32_bit_state_is_of_the_models_as_they_are(name: str) -> None:
    assert f"| {name} | {load_core_32(name).hash} |" in PAGE_32.read_text(encoding="utf-8")


def test_times_of_memory_become_cycles_of_the_clock(model: CoreModel) -> None:
    header = model.sources(1.4e9)["core_model.h"]
    assert "#define MEMORY_CYCLES 154" in header  # 110 ns
    assert "#define CYCLES_PER_LINE 45" in header  # 64 bytes of 2 GB/s
    assert "#define L1_SETS 128" in header


def test_larger_forms_have_times_of_their_own(model: CoreModel) -> None:
    load = model.classes["load_vector"]
    assert (load.form(0)["issue"], load.form(1)["issue"]) == (1, 2)
    assert (load.form(0)["first"], load.form(1)["first"]) == (0, 1)


def test_a_model_that_lacks_a_class_is_refused(model: CoreModel) -> None:
    content = model.model_dump()
    del content["classes"]["fused"]
    with pytest.raises(ValueError, match="lacking: fused"):
        CoreModel.model_validate(content)


def test_an_unknown_core_and_a_damaged_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProfileError, match="cortex-a53"):
        load_core("6502")
    (tmp_path / "odd.toml").write_text("name = [")
    monkeypatch.setattr(core_model, "CORE_DIRECTORY", tmp_path)
    with pytest.raises(ProfileError, match=r"odd\.toml"):
        load_core("odd")
