"""Random QPU programs: of valid instructions that mostly keep to registers, or of any 64-bit words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.isa import ADD_OPS, MUL_OPS, SIGNALS, Alu

Words = NDArray[np.uint64]

LENGTH = 48
END = tuple(i.encode() for i in (Alu(signal=SIGNALS["thread_end"]), Alu(), Alu()))
NOP_ADDRESS = 39
# Signals and how often each is taken.
OFTEN = {"none": 52, "small_immediate": 20, "load_immediate": 12, "load_tmu0": 4, "load_tmu1": 2, "branch": 8,
         "thread_end": 2}  # fmt: skip


def any_words(random: np.random.Generator, count: int) -> Words:
    """Uniformly random 64-bit words."""
    return random.integers(0, 1 << 64, count, np.uint64)


def _put(words: Words, high: int, low: int, values: NDArray[np.int64], where: NDArray[np.bool_]) -> None:
    mask = np.uint64(((1 << (high - low + 1)) - 1) << low)
    changed = (words & ~mask) | (values.astype(np.uint64) << np.uint64(low))
    words[:] = np.where(where, changed, words)


def valid_words(random: np.random.Generator, count: int) -> Words:
    """Instructions whose every field has a meaning; registers are likelier than input and output."""
    words = any_words(random, count)
    everywhere = np.ones(count, np.bool_)
    weights = np.array(list(OFTEN.values()), float)
    signal = random.choice([SIGNALS[name] for name in OFTEN], count, p=weights / weights.sum())
    _put(words, 63, 60, signal, everywhere)
    branch, immediate = signal == SIGNALS["branch"], signal == SIGNALS["load_immediate"]
    alu = ~branch & ~immediate
    _put(words, 59, 57, random.choice([0, 0, 0, 1, 3, 4], count), immediate)
    _put(words, 56, 52, np.zeros(count, np.int64), immediate | (random.random(count) < 0.7))
    _put(words, 59, 57, np.zeros(count, np.int64), alu & (random.random(count) < 0.7))
    of_mul_alu = alu & ((words >> np.uint64(56)) & np.uint64(1)).astype(np.bool_)
    _put(words, 55, 52, random.choice([0, 3, 4, 5, 6, 7], count), of_mul_alu)
    _put(words, 55, 52, random.choice([*range(12), 15], count), branch)
    _put(words, 51, 50, np.full(count, 2), branch)  # relative, without a register
    _put(words, 31, 0, 8 * random.integers(0, 24, count), branch)
    add, mul = (random.choice(list(ops.values()), count) for ops in (ADD_OPS, MUL_OPS))
    _put(words, 28, 24, add, alu)
    _put(words, 31, 29, mul, alu)
    for low, idle in ((38, add == 0), (32, mul == 0)):
        _put(words, low + 5, low, _destinations(random, count), everywhere)
        _put(words, low + 5, low, np.full(count, NOP_ADDRESS), idle & alu)
    _put(words, 23, 18, _sources(random, count), alu)
    _put(words, 17, 12, _sources(random, count), alu & (signal != SIGNALS["small_immediate"]))
    return words


def _destinations(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Write addresses: files, r0 to r3, nothing, and now and then any other register-mapped output."""
    outputs = (36, 37, 38, 40, 48, 49, 50, 51, 52, 53, 54, 55, 56, 60)
    kinds = [random.integers(0, 32, count), random.integers(32, 36, count), np.full(count, NOP_ADDRESS),
             random.choice(outputs, count)]  # fmt: skip
    return np.choose(random.choice(4, count, p=[0.55, 0.33, 0.08, 0.04]), kinds)


def _sources(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Read addresses, likewise."""
    inputs = (32, 38, 48, 49, 50, 51)
    kinds = [random.integers(0, 32, count), np.full(count, 38), random.choice(inputs, count)]
    return np.choose(random.choice(3, count, p=[0.85, 0.1, 0.05]), kinds)
