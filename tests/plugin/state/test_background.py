from __future__ import annotations

import os
from contextlib import closing

import pytest

from plugin.state.background import Aside


def nice_here() -> int:
    return os.nice(0)


def test_what_computes_aside_steps_back_and_nobody_else() -> None:
    before = nice_here()
    with closing(Aside()) as aside:
        assert aside(nice_here)() > before
        assert aside(nice_here)() == aside(nice_here)()
    assert nice_here() == before


def test_what_fails_aside_fails_for_its_caller() -> None:
    with closing(Aside()) as aside, pytest.raises(ValueError, match="x"):
        aside(int)("x")
