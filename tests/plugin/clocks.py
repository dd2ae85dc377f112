"""Hosts whose clocks are wrong."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, tzinfo

import pytest


def set_host_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    """Have every module of the service that asks for the host's time get a wrong one."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + ahead

    for name, module in list(sys.modules.items()):
        if name.startswith("plugin.") and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", Wrong)
