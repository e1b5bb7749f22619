from __future__ import annotations

from codegen.revision import generator_revision


def test_revision_is_short_hexadecimal_and_stable() -> None:
    first = generator_revision()
    generator_revision.cache_clear()
    assert generator_revision() == first
    assert len(first) == 16
    assert set(first) <= set("0123456789abcdef")
