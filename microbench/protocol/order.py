"""The order in which a batch is measured: shuffled, with a reference kernel before, between and after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

REFERENCE_EVERY = 16

Item = TypeVar("Item")


class Turn(NamedTuple, Generic[Item]):
    """What is measured next; `item` None: the reference."""

    item: Item | None


def shuffled(items: Sequence[Item], keys: Sequence[str], seed: int) -> tuple[Item, ...]:
    """The items in a random order that is fixed by their keys and the seed.

    Each item's place among the others does not depend on which others there are: what is left of a batch that was
    interrupted comes in the order it would have come in.
    """
    places = {key: hashlib.sha256(f"{seed} {key}".encode()).digest() for key in keys}
    order = sorted(range(len(items)), key=lambda index: (places[keys[index]], index))
    return tuple(items[index] for index in order)


def turns(
    items: Sequence[Item], keys: Sequence[str], seed: int, every: int = REFERENCE_EVERY
) -> Iterator[Turn[Item]]:
    """Shuffled items, a turn of the reference before the first, after every so many, and after the last.

    No items, no turns.
    """
    order = shuffled(items, keys, seed)
    for count, item in enumerate(order):
        if count % every == 0:
            yield Turn(None)
        yield Turn(item)
    if order:
        yield Turn(None)
