"""Names of a model as C text: nothing of them but letters, digits and `_` ever becomes code."""

from __future__ import annotations

import re

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@/ ,=+-")
_LONGEST = 40


def c_identifier(text: str) -> str:
    """A C identifier that resembles `text`: starts with a letter, at most 40 characters, no double `_`."""
    cleaned = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:_LONGEST].rstrip("_")
    if not cleaned:
        return "model"
    return cleaned if cleaned[0].isalpha() else f"model_{cleaned}"


def c_string(text: str) -> str:
    """A C string literal of the UTF-8 bytes of `text`; what is not plain is written in octal."""
    body = "".join(
        chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03o}" for byte in text.encode("utf-8", "replace")
    )
    return f'"{body}"'


def c_comment(text: str) -> str:
    """`text` as it may stand in a C comment on one line; other characters become `.`."""
    return "".join(character if character in _PLAIN else "." for character in text)[:100]
