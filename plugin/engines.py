"""The models that the settings name are loaded, or reached where they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from dicom_io.errors import CtscribeError
from plugin.endpoints import read_token
from plugin.settings import Engine, Settings
from plugin.state.database import SessionFactory

if TYPE_CHECKING:
    from engine.protocol import ModelIdentity, ReportEngine


@contextmanager
def opened_engine(settings: Settings) -> Iterator[ReportEngine]:
    """Load the model, or connect to the server that runs it, for the length of a `with` block."""
    from engine.serving.asking import read_asking
    from engine.serving.client import RemoteEngine
    from engine.serving.openai_engine import OpenAIEngine

    model = settings.engine
    if not model.url:
        with loaded_engine(model) as engine:
            yield engine
        return
    token = read_token(model.token_env)
    remote: RemoteEngine | OpenAIEngine
    if model.asking is None:
        remote = RemoteEngine(*model.url, token=token, timeout_s=model.timeout_s)
    else:
        asking = read_asking(model.asking)
        remote = OpenAIEngine(*model.url, asking=asking, token=token, timeout_s=model.timeout_s)
    with closing(remote):
        yield remote


@contextmanager
def loaded_engine(model: Engine) -> Iterator[ReportEngine]:
    """Load the model of a table of the settings; vLLM runs for the length of the `with` block."""
    from engine import EMBEDDED, load_engine

    if model.vllm is None:
        yield load_engine(model.model, model.device, model.dtype, model.quantization)
        return
    from engine.serving.vllm import vllm_engine
    from engine.serving.vllm_server import VllmServer

    opened = partial(
        vllm_engine,
        EMBEDDED if model.model == "embedded" else model.model,
        device=model.device,
        dtype=model.dtype,
        timeout_s=model.timeout_s,
    )
    if model.vllm.url is not None:
        with opened(model.vllm.url, token=read_token(model.vllm.token_env)) as engine:
            yield engine
        return
    assert model.vllm.folder is not None
    # first, as it measures how much of the GPU is free
    started = VllmServer(model.vllm.folder, model.vllm.python, model.vllm.options)
    with started as server, opened(server.url, token=server.token) as engine:
        yield engine


@contextmanager
def watched_engine(settings: Settings, sessions: SessionFactory) -> Iterator[ReportEngine]:
    """`opened_engine`; the service's timeline says at once where the model does not load."""
    from plugin.drafting.engine_watch import tell_failure

    with ExitStack() as opened:
        try:
            engine = opened.enter_context(opened_engine(settings))
        except CtscribeError as error:
            tell_failure(sessions, settings.engine.called, str(error))
            raise
        yield engine


def ask_identity(engine: ReportEngine) -> ModelIdentity:
    """Ask an engine which model it runs; one on another host may have changed since.

    Raises
    ------
    EngineUnavailable
        The engine cannot take work now.
    """
    from engine.protocol import Reached

    return engine.ask_identity() if isinstance(engine, Reached) else engine.identity
