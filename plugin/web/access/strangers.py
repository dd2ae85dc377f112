"""Names that nobody has are locked as people's are: no refusal tells who exists."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

# Trying out so many names takes one address hours; what is forgotten was not tried lately
_MOST = 10_000


@dataclass
class Stranger:
    """What a `Person` is told by, as far as locking goes."""

    failures: int = 0
    locked_until: datetime | None = None


class Strangers:
    """Who tried to sign in under a name that nobody has.

    They are kept in memory: the name may be a password in the wrong field.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Stranger] = OrderedDict()

    def of(self, name: str) -> Stranger:
        """Return what is known of a name, the same object each time."""
        with self._lock:
            found = self._known.setdefault(name, Stranger())
            self._known.move_to_end(name)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
            return found
