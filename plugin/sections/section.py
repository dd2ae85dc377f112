"""What the tables of the settings are made of."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    ValidationInfo,
)

AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[^\\\s][^\\\n]*$")]
Port = Annotated[int, Field(ge=0, le=65535)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^@?#\s]+$")]
EngineUrl = Annotated[str, Field(pattern=r"^(openai\+)?https?://[^@?#\s]+$")]
Networks = Annotated[
    tuple[IPvAnyNetwork, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]
Seconds = Annotated[float, Field(gt=0)]


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this host only."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """A table of the TOML file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def beside_the_file(path: Path, known: ValidationInfo) -> Path:
    """Return where a path of the settings leads: relative ones start at their file."""
    return Path((known.context or {}).get("folder", "")) / path


FilePath = Annotated[Path, AfterValidator(beside_the_file)]


class Certificates(Section):
    """TLS of a line: files in PEM."""

    authorities: FilePath | None = Field(
        default=None, description="certificates of the authorities that are believed"
    )
    certificate: FilePath | None = Field(default=None, description="ours, and the chain behind it")
    key: FilePath | None = Field(default=None, description="without it the certificate's own file")
    passphrase_env: str | None = Field(
        default=None, description="environment variable holding the passphrase of the key"
    )
    name: str | None = Field(
        default=None, description="name in the peer's certificate where it is not the host"
    )


def require_unique(names: Sequence[str], what: str) -> None:
    """Refuse two of a kind that share a name.

    Raises
    ------
    ValueError
        The message says which.
    """
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two {what} share one name: {twice[0]}")
