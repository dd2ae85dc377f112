"""The models: each loads here, or answers elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dicom_io.errors import CtscribeError
from plugin.commands.doctor.finding import Finding, not_installed
from plugin.settings import Settings

if TYPE_CHECKING:
    from engine.protocol import ModelIdentity


_ADVICE = {
    False: "check engine.model and engine.device",
    True: "check engine.url and engine.token_env, and that `ctscribe engine` runs there (with "
    "openai+…: a server that knows the model of engine.asking)",
}
_ONE_MODEL = "start `ctscribe engine` with the same model on every host: only the first's is used"


def check_models(settings: Settings) -> Iterator[Finding]:
    """The service's own model, and those beside it."""
    yield from _check_model(settings, "model")
    for one in settings.models:
        named = settings.model_copy(update={"engine": one})
        yield from _check_model(named, f"model {one.name}")


def _check_model(settings: Settings, check: str) -> Iterator[Finding]:
    """The checkpoint loads on the device, or every engine's server answers, with one model."""
    first: ModelIdentity | None = None
    for url in settings.engine.url or (None,):
        model = settings.engine.model_copy(update={"url": () if url is None else (url,)})
        try:
            identity = _identity(settings.model_copy(update={"engine": model}))
        except CtscribeError as error:
            yield Finding(check, False, str(error), _ADVICE[url is not None])
            continue
        except ModuleNotFoundError as error:
            yield not_installed(check, error)
            continue
        first = first or identity
        text = f"{model.called}: {identity.name} {identity.version}"
        if identity.digest == first.digest:
            yield Finding(check, True, text)
        else:
            yield Finding(check, False, f"{text}, another one than the others", _ONE_MODEL)


def _identity(settings: Settings) -> ModelIdentity:
    from plugin.engines import ask_identity, opened_engine

    with opened_engine(settings) as engine:
        return ask_identity(engine)
