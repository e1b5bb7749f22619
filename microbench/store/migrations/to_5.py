"""Version 5: candidates in version 2 of the canonical forms, under their new hashes."""

from __future__ import annotations

import json

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, select, update

from codegen.canonical import content_hash
from codegen.errors import CanonicalFormError
from codegen.old_forms import is_old, upgraded
from microbench.errors import StoreError

SAMPLES = Table(
    "samples",
    MetaData(),
    Column("candidate_hash", String(64), nullable=False),
    Column("candidate_json", Text, nullable=False),
)


def migrate(connection: Connection) -> None:
    """Rewrites every candidate of version 1; raises StoreError for one that is not what its version wrote."""
    for old in connection.scalars(select(SAMPLES.c.candidate_json).distinct()).all():
        new, new_hash = upgraded_candidate(old)
        if new != old:
            connection.execute(
                update(SAMPLES)
                .where(SAMPLES.c.candidate_json == old)
                .values(candidate_json=new, candidate_hash=new_hash)
            )


def upgraded_candidate(candidate_json: str) -> tuple[str, str]:
    """A candidate of either version of the forms in version 2, and its hash."""
    try:
        form = json.loads(candidate_json)
        form = upgraded(form) if is_old(form) else form
    except (ValueError, CanonicalFormError) as error:
        raise StoreError(
            f"a candidate of the store is malformed: {error}; restore the store from a copy, "
            "or name another with --store"
        ) from error
    return json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False), content_hash(form)
