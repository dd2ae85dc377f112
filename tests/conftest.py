import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cases() -> Path:
    """A folder of real DICOM series beside the repository; they are nobody's to publish.

    A clone alone has none and skips. Whoever names the folder in CTSCRIBE_CASES must have it.
    """
    named = os.environ.get("CTSCRIBE_CASES")
    folder = Path(named or Path(__file__).parents[2] / "shared" / "cases")
    if not folder.is_dir():
        if named:
            pytest.fail("CTSCRIBE_CASES names no folder")
        pytest.skip("no folder of real DICOM series (CTSCRIBE_CASES)")
    return folder
