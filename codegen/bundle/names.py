"""Names of a model as C text: nothing of them but letters, digits and `_` ever becomes code."""

from __future__ import annotations

import re
from functools import cache

from codegen.engines.cpu.toolchain import runtime_texts

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@/ ,=+-")
_LONGEST = 40
API = (
    "handle",
    "describe",
    "init",
    "init_from_memory",
    "run",
    "submit",
    "wait",
    "poll",
    "step_times",
    "launch_times",
    "threads",
    "free",
)
"""Behind the prefix, what a model's C files define."""
SYSTEM_PREFIXES = frozenset(
    (
        "sem",
        "mtx",
        "cnd",
        "epoll",
        "pthread",
        "pthread_attr",
        "pthread_mutex",
        "pthread_cond",
        "pthread_barrier",
        "pthread_spin",
    )
)
"""Of functions in the C library that end as one of those does."""


def c_identifier(text: str) -> str:
    """A C identifier that resembles `text`: starts with a letter, at most 40 characters, no double `_`."""
    cleaned = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:_LONGEST].rstrip("_")
    if not cleaned:
        return "model"
    return cleaned if cleaned[0].isalpha() else f"model_{cleaned}"


def model_identifier(name: str) -> str:
    """The prefix of a model's functions: `c_identifier`, behind `model_` where those names are taken already, by the
    runtime or by the system (`pool_run`, `sem_init`).
    """
    identifier = c_identifier(name)
    taken = _runtime_names()
    is_taken = identifier in SYSTEM_PREFIXES or any(f"{identifier}_{part}" in taken for part in API)
    return f"model_{identifier}"[:_LONGEST].rstrip("_") if is_taken else identifier


@cache
def _runtime_names() -> frozenset[str]:
    """Every word of the runtime's C files, but for the generic names of a model, which are no others."""
    words = (word for text in runtime_texts() for word in re.findall(r"[A-Za-z_]\w*", text))
    return frozenset(word for word in words if not word.startswith("model_"))


def c_string(text: str) -> str:
    """A C string literal of the UTF-8 bytes of `text`; what is not plain is written in octal."""
    body = "".join(
        chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03o}" for byte in text.encode("utf-8", "replace")
    )
    return f'"{body}"'


def c_comment(text: str) -> str:
    """`text` as it may stand in a C comment on one line; other characters become `.`."""
    return "".join(character if character in _PLAIN else "." for character in text)[:100]
