"""Large things that may be asked for again soon: as many of the last as some memory holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """The values that were made or asked for last, `most_bytes` of them; safe in several threads, which may make the
    same value twice where they ask at once. What is larger than all of it is not kept.
    """

    def __init__(self, most_bytes: int, size_bytes: Callable[[Value], int]) -> None:
        self._most_bytes = most_bytes
        self._size_bytes = size_bytes
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value, made where it is not there; raises what making it raises."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._bytes += self._size_bytes(value)
            while self._bytes > self._most_bytes:
                _, oldest = self._values.popitem(last=False)
                self._bytes -= self._size_bytes(oldest)
        return value
