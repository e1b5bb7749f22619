"""Stores whose files are damaged: no sample that comes out of one is another than was written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

from microbench.board import Fingerprint
from microbench.store import ProgramDigest, Sample, Store
from tests.fuzz.damage import damaged
from tests.fuzz.verdicts import verdict_of
from tests.microbench.measured import FINGERPRINT, OTHER, sample
from tests.microbench.store_conformance import POWER, READINGS
from tests.random_graphs.judge import Outcome

SHARED_MEMORY = Path("/dev/shm")  # a disk would be waited for at every opening
MAKER, ROUND = "maker", "round"
USED_SHARE = 0.7  # of the changes where the file is not empty


@dataclass(frozen=True)
class Written:
    """A sound store's file, and all that it says."""

    content: bytes
    samples: frozenset[str]
    fingerprints: frozenset[Fingerprint]
    programs: frozenset[ProgramDigest]
    keys: tuple[tuple[str, str], ...]
    used: tuple[int, ...]


@cache
def written() -> Written:
    """A few samples of two boards, with readings and series, digests and a round."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "store"
        with Store.open(path) as store:
            for number in range(4):
                one = sample(number + 1, OTHER if number % 2 else FINGERPRINT)
                store.add(replace(one, conditions=READINGS, series=(POWER,), message="é" * number))
            store.add_programs([ProgramDigest(MAKER, f"candidate {n}", f"digest {n}") for n in range(3)])
            store.add_round(ROUND, "content")
            kept = tuple(store.samples())
            said = (frozenset(store.fingerprints()), frozenset(store.programs(MAKER)))
        content = path.read_bytes()
    keys = tuple((one.candidate_hash, one.fingerprint_hash) for one in kept)
    used = tuple(place for place, byte in enumerate(content) if byte)
    return Written(content, frozenset(map(_text, kept)), *said, keys, used)


def judged_store(number: int) -> Outcome:
    """The verdict on one damaged file."""
    random = Random(f"store {number}")
    content = _worse(random)
    parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        path = Path(directory) / "store"
        path.write_bytes(content)
        return verdict_of(lambda: _complaint(path))


def _worse(random: Random) -> bytes:
    sound = written()
    if random.random() > USED_SHARE:
        return damaged(sound.content, random)
    content = bytearray(sound.content)
    for _ in range(random.randint(1, 3)):
        place = random.choice(sound.used)
        content[place : place + 1] = damaged(bytes(content[place : place + 1]), random, keeps_length=True)
    return bytes(content)


def _complaint(path: Path) -> str:
    """What is in the store that nobody wrote."""
    sound = written()
    with Store.open(path) as store:
        found = {_text(one) for one in store.samples()} - sound.samples
        for key in sound.keys:
            found |= {
                f"filed elsewhere: {_text(one)}"
                for one in store.find(*key)
                if (one.candidate_hash, one.fingerprint_hash) != key or _text(one) not in sound.samples
            }
        if found:
            return f"samples that nobody wrote: {found}"
        if not sound.programs.issuperset(store.programs(MAKER)):
            return "digests that nobody wrote"
        if not sound.fingerprints.issuperset(store.fingerprints()):
            return "boards that nobody wrote"
        if store.round(ROUND) not in ("content", None):
            return "a round that nobody wrote"
        store.count()
    return ""


def _text(one: Sample) -> str:
    """All that it says, its number apart: that is the database's."""
    return repr(replace(one, id=0))
