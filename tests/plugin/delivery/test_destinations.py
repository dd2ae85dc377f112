import pytest

from dicom_io.errors import ConfigurationError
from plugin.delivery.destinations import read_credentials


def test_credentials_come_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_LOGIN", "ctscribe:a:b")
    assert read_credentials("PACS_LOGIN") == ("ctscribe", "a:b")


def test_no_variable_means_no_credentials() -> None:
    assert read_credentials(None) is None


@pytest.mark.parametrize("value", ["", "only-a-user", ":only-a-password"])
def test_a_variable_without_user_and_password_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("PACS_LOGIN", value)
    with pytest.raises(ConfigurationError, match="PACS_LOGIN") as raised:
        read_credentials("PACS_LOGIN")
    assert not value or value not in str(raised.value)
