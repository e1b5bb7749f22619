"""Files and messages made worse at random."""

from __future__ import annotations

from random import Random

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FF00000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MOST_CHANGES = 5


def damaged(data: bytes, random: Random, *, keeps_length: bool = False) -> bytes:
    """Up to five changes: bytes overwritten, a bit flipped, a word set to an extreme; and unless the length is kept,
    bytes taken out, doubled, or an end that is missing.
    """
    content = bytearray(data)
    for _ in range(random.randint(1, MOST_CHANGES)):
        kind = random.randrange(4 if keeps_length else 7)
        place = random.randrange(max(1, len(content)))
        if not content:
            content += random.randbytes(4)
        elif kind == 0:
            content[place] = random.randrange(256)
        elif kind == 1:
            content[place] ^= 1 << random.randrange(8)
        elif kind in (2, 3):
            word = random.choice(EXTREMES).to_bytes(4, "little") if kind == 2 else random.randbytes(4)
            place -= place % 4
            content[place : place + 4] = word[: len(content) - place]
        elif kind == 4:
            del content[place : place + random.randint(1, 8)]
        elif kind == 5:
            content[place:place] = content[place : place + random.randint(1, 32)]
        elif random.random() < 0.2:
            del content[place:]
    return bytes(content)
