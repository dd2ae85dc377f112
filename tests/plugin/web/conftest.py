"""What tests of the pages share."""

from __future__ import annotations

from tests.plugin.web.chromium import chromium as chromium
