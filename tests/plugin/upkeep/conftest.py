from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bench.year import Hospital
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.upkeep.keeping.limits import Disk, Limit, Limits
from plugin.upkeep.keeping.retention import Doomed, prune

MONTH = timedelta(days=30)


@pytest.fixture
def hospital(sessions: SessionFactory, spool: Spool) -> Hospital:
    return Hospital(sessions, spool)


@pytest.fixture
def pruned(sessions: SessionFactory, spool: Spool, hospital: Hospital) -> Callable[..., Any]:
    """Prune at the hospital's time; images are kept for a month unless a test says otherwise."""

    def pruned(*, total: int = 10**9, free: int = 10**9, **limits: Any) -> list[Doomed]:
        kept = Limits(**{"images": Limit(MONTH), **limits})
        return prune(sessions, spool, kept, hospital.now, lambda _: Disk(total, free))

    return pruned
