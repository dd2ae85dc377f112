import os
from pathlib import Path

import pytest

from tests.services import require


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of real DICOM series that the checks run on; never part of the product."""
    default = Path(__file__).parents[2] / "shared" / "cases"
    folder = Path(os.environ.get("CTSCRIBE_CASES", default))
    require(folder.is_dir(), "the folder of real DICOM series (CTSCRIBE_CASES)")
    return folder
