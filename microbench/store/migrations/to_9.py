"""Version 9: names for all values of axes that are no numbers, as `codegen.old_forms` has them."""

from __future__ import annotations

from microbench.store.migrations.to_5 import migrate as migrate
