from __future__ import annotations

import pytest

from explorer.measure.kept import Kept


def test_what_was_asked_for_last_is_kept_and_no_more_than_fits() -> None:
    made: list[str] = []

    def made_of(text: str) -> str:
        made.append(text)
        return text

    kept: Kept[str, str] = Kept(10, len)
    for text in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb"):
        assert kept.get(text, lambda text=text: made_of(text)) == text  # type: ignore[misc]
    assert made == ["aaaa", "bbbb", "cccc", "bbbb"]


def test_what_is_larger_than_all_is_made_again_and_faults_are_not_kept() -> None:
    kept: Kept[str, list[int]] = Kept(2, len)
    assert kept.get("large", lambda: [1, 2, 3]) == [1, 2, 3]
    assert kept.get("large", lambda: [4, 5, 6]) == [4, 5, 6]

    def fail() -> list[int]:
        raise ValueError("none")

    with pytest.raises(ValueError, match="none"):
        kept.get("small", fail)
    assert kept.get("small", lambda: [1]) == [1]
    assert kept.get("small", fail) == [1]
