"""Tables of a TOML file, read key by key: every fault is collected with its place, none stops the reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class TomlTable:
    """One table: each method takes a key's value out; `close` finds fault with the keys that nobody took."""

    def __init__(self, values: Mapping[str, Any], where: str, faults: list[str]) -> None:
        self._values = dict(values)
        self._known: list[str] = []
        self.where, self.faults = where, faults

    def place(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def fault(self, key: str, what: str) -> None:
        self.faults.append(f"{self.place(key)}: {what}")

    def take(self, key: str) -> Any:
        """Any value, None where there is none."""
        self._known.append(key)
        return self._values.pop(key, None)

    def text(self, key: str, required: bool = False) -> str | None:
        value = self.take(key)
        if value is None:
            if required:
                self.fault(key, "is missing")
            return None
        if not isinstance(value, str) or not value:
            self.fault(key, f"must be a text, not {value!r}")
            return None
        return value

    def choice(self, key: str, known: Sequence[str], default: str) -> str:
        value = self.text(key)
        if value is not None and value not in known:
            self.fault(key, f"{value!r} is not one of {', '.join(known)}")
            return default
        return value or default

    def whole(self, key: str, default: int | None, low: int, high: int) -> int | None:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fault(key, f"must be a whole number from {low} to {high}, not {value!r}")
            return default
        return value

    def number(self, key: str, default: float | None, low: float, high: float) -> float | None:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fault(key, f"must be a number from {low:g} to {high:g}, not {value!r}")
            return default
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            self.fault(key, f"must be true or false, not {value!r}")
        return value is True

    def data(self, key: str, base: Path, required: bool = False) -> tuple[Path, bytes] | None:
        """A file's path, relative to `base`, and its bytes."""
        name = self.text(key, required)
        return None if name is None else self._read(key, base / name)

    def _read(self, key: str, path: Path) -> tuple[Path, bytes] | None:
        try:
            return path, path.read_bytes()
        except OSError as error:
            self.fault(key, f"{path} cannot be read: {error.strerror}")
            return None

    def tables(self, key: str) -> list[TomlTable]:
        """An array of tables, [[key]], numbered from 1."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fault(key, f"must be tables, each headed [[{self.place(key)}]]")
            return []
        return [TomlTable(item, f"{self.place(key)} {n}", self.faults) for n, item in enumerate(value, 1)]

    def named_tables(self, key: str) -> dict[str, TomlTable]:
        """Tables [key.NAME] by name."""
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
            self.fault(key, f"must be tables, each headed [{self.place(key)}.NAME]")
            return {}
        return {
            name: TomlTable(item, self.place(f"{key}.{name}"), self.faults) for name, item in value.items()
        }

    def close(self) -> None:
        for key in self._values:
            self.fault(key, f"no such key; there are: {', '.join(self._known)}")
