from __future__ import annotations

from codegen.algorithm import algorithms
from tests.codegen.algorithms_page import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "renew it by `python -m tests.codegen.algorithms_page`"


def test_every_algorithm_stands_in_it() -> None:
    text = page()
    assert all(f"`{name}`" in text for name, a in algorithms().items() if a.engine in ("cpu", "videocore4"))
