"""Which of a profile's variants a board is: what it has of the constants that variants switch on and off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from microbench.profile import DeviceProfile

OWN = "the profile itself"
UNNAMED = "none that has a name"
_NOTHING = 0.1  # share of what the profile or a variant has that counts as nothing of it

Pattern = tuple[bool, ...]  # which of the constants are there


@dataclass(frozen=True)
class Mechanism:
    """Constants of which variants have something where the profile has nothing, or nothing where it has something.

    `full`: what each is where it is there. `choices`: names by what is there.
    """

    full: Mapping[str, float]
    choices: Mapping[Pattern, str]

    def choice(self, values: Mapping[str, float]) -> str:
        """The name of the variant that values of the constants belong to."""
        there = tuple(values[name] > _NOTHING * full for name, full in self.full.items())
        return self.choices.get(there, UNNAMED)

    def values_of(self, pattern: Pattern, like: Mapping[str, float]) -> dict[str, float]:
        """The constants where only those of `pattern` are there, as `like` has them, or as the profile."""
        return {
            name: (like[name] or full) if there else 0.0
            for there, (name, full) in zip(pattern, self.full.items(), strict=True)
        }


def mechanisms(profile: DeviceProfile) -> tuple[Mechanism, ...]:
    """One for each set of constants that variants change so; variants that only scale constants are left out."""
    found: dict[tuple[str, ...], dict[Pattern, str]] = {}
    full: dict[str, float] = {}
    for name, variant in profile.variants.items():
        constants = tuple(variant.v3d)
        own = {c: profile.v3d_value(c) for c in constants}
        if _pattern(own) == _pattern(variant.v3d):
            continue
        found.setdefault(constants, {_pattern(own): OWN})[_pattern(variant.v3d)] = name
        full |= {c: max(full.get(c, 0.0), own[c], variant.v3d[c]) for c in constants}
    return tuple(Mechanism({c: full[c] for c in constants}, names) for constants, names in found.items())


def _pattern(values: Mapping[str, float]) -> Pattern:
    return tuple(value != 0 for value in values.values())
