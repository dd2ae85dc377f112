import pytest

from dicom_io.archives import http


@pytest.fixture(autouse=True)
def _no_pause_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GET_PAUSE_S", 0)
