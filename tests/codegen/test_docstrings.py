"""Sections of docstrings: entries over several lines, those of bases, and what a class says anew."""

from __future__ import annotations

from codegen.docstrings import description, section


class Base:
    """A base.

    Axes:
        lanes: elements of a vector
        threads: how many
    """


class Derived(Base):
    """Two lines
    of text: with a colon.

    Axes:
        threads: how many of them
            share the rows
        rows: output channels

    Places:
        place: c * P + p
    """


class Silent(Derived):
    pass


def test_the_text_above_the_first_section() -> None:
    assert description(Derived) == "Two lines of text: with a colon."
    assert description(Silent) == ""


def test_entries_of_bases_come_first_and_are_said_anew() -> None:
    wanted = {
        "lanes": "elements of a vector",
        "threads": "how many of them share the rows",
        "rows": "output channels",
    }
    assert section(Derived, "Axes") == section(Silent, "Axes") == wanted
    assert list(section(Derived, "Axes")) == list(wanted)
    assert section(Derived, "Places") == {"place": "c * P + p"}
    assert section(Base, "Places") == {}
