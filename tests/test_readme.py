"""README's figures are those that commands printed into results/, and its first screen says what it must."""

from __future__ import annotations

import re

import pytest

from tests.test_floors import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())
FIRST_SCREEN = "\n".join(TEXT.split("\n")[:40])
PEERS = (ROOT / "results" / "cpu-peers.md").read_text(encoding="utf-8")
ZERO = (ROOT / "results" / "mobilenetv1-pi-zero.txt").read_text(encoding="utf-8")


def test_the_first_screen_says_what_for_whom_and_what_was_measured() -> None:
    for text in ("for whoever", "**No number here was taken on silicon of a Pi**", "against six engines"):
        assert text in " ".join(FIRST_SCREEN.split()), text
    assert "explore check" in FIRST_SCREEN and "explore run" in FIRST_SCREEN


@pytest.mark.parametrize("threads", [1, 2])
def test_the_ratios_to_peers_are_the_benchmark_s(threads: int) -> None:
    row = re.search(rf"^\| {threads} \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|", PEERS, re.M)
    assert row is not None
    ratio, low, high = (f"{float(value):.2f}" for value in row.groups())
    assert f"{ratio} times" in WORDS and f"{low} to {high})" in WORDS


def test_the_run_s_figures_are_the_command_s() -> None:
    whole = re.search(r"the bundle as a whole: ([\d.]+ ms) \(simulated\)", ZERO)
    cpu = re.search(r"CPU-only plan: ([\d.]+ s) \(modelled\), ([\d.]+)x", ZERO)
    counts = re.search(r"candidates: (\d+) considered, (\d+) measured now", ZERO)
    assert whole and cpu and counts
    assert f"**{whole[1]}** (simulated)" in WORDS
    assert f"{cpu[1]} (modelled), {float(cpu[2]):.0f} times as long" in WORDS
    assert f"{counts[2]} candidates measured of {counts[1]}" in WORDS
