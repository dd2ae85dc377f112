"""What a test needs from its machine: absent, it skips on a laptop and fails in CI."""

import os

import pytest


def require(condition: bool, what: str) -> None:
    """Skip the calling test unless `condition` holds; fail it where `CI=true`."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")
