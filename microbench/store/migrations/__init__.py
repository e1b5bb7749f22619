"""Steps that bring a store of an older version up to date: one file per version, each frozen once released.

A step takes a connection within a transaction that also writes the new version number, so that a store is of one
version or of the next, never between. A store has four tables and its changes are added columns, tables and rewritten
values, in the same words for SQLite and PostgreSQL: that, and the version number that stores have carried from the
first, is why this is a list of functions and not a migration framework with tables and scripts of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from microbench.store.migrations import to_2, to_3, to_4, to_5, to_6, to_7, to_8, to_9, to_10, to_11

# By the version that a step leads to; without gaps.
STEPS: Mapping[int, Callable[[Connection], None]] = {
    2: to_2.migrate,
    3: to_3.migrate,
    4: to_4.migrate,
    5: to_5.migrate,
    6: to_6.migrate,
    7: to_7.migrate,
    8: to_8.migrate,
    9: to_9.migrate,
    10: to_10.migrate,
    11: to_11.migrate,
}
