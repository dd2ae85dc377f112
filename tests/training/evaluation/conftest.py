import pytest

from dicom_io.errors import UnusableData
from tests.services import require
from training.evaluation import nltk_data


@pytest.fixture(scope="session")
def nltk_files() -> None:
    """WordNet and Punkt, which `make test` has put into this environment."""
    try:
        nltk_data.require()
    except UnusableData:
        require(False, "NLTK's data; run `ctscribe eval setup`")
