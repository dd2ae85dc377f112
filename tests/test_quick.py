from tests.quick import SLOW
from tests.repository import ROOT


def test_what_quick_leaves_out_exists():
    assert [name for name in SLOW if not (ROOT / "tests" / name).exists()] == []
