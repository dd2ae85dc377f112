"""How vLLM is reached, or started, where it writes the text."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from plugin.sections.section import FilePath, HttpUrl, Section, is_loopback


class Vllm(Section):
    """A vLLM server that stands beside the engine, or one that the engine starts."""

    url: HttpUrl | None = Field(
        default=None,
        description="a vLLM server that runs already, on loopback or a trusted host",
    )
    token_env: str | None = Field(
        default=None, description="environment variable holding its token (`--api-key` of vLLM)"
    )
    folder: FilePath | None = Field(
        default=None,
        description="what `ctscribe model export-llm` wrote: vLLM is started with it, and watched",
    )
    python: FilePath | None = Field(
        default=None,
        description="`bin/python` of the environment that has vLLM, where it is not this one",
    )
    options: tuple[str, ...] = Field(
        default=(), description="further ones of vLLM's command line, where it is started"
    )

    @model_validator(mode="after")
    def _is_reached_or_started(self) -> Self:
        if (self.url is None) == (self.folder is None):
            raise ValueError("vllm: url of a server that runs, or folder of one to start")
        if self.folder is not None and self.token_env is not None:
            raise ValueError("vllm: token_env goes with url; a server that is started gets a token")
        if self.url is not None and (self.options or self.python):
            raise ValueError("vllm: python and options go with folder")
        return self

    @model_validator(mode="after")
    def _is_not_open_to_everybody(self) -> Self:
        """It reads what it is sent by `torch.load` (CVE-2025-62164)."""
        host = urlsplit(self.url or "").hostname
        if host is not None and not is_loopback(host) and self.token_env is None:
            raise ValueError("vllm: a url beyond loopback needs token_env")
        return self
