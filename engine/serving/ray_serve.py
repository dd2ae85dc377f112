"""Many engines behind one address: the server's application as a Ray Serve deployment.

Started by `serve run ray-serve.yaml`. Every replica is one model on one device with the queue and
the batches of `serving.server`; Ray shares requests out, adds replicas, and replaces dead ones.
"""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application

from dicom_io.errors import EngineError
from engine import load_engine
from engine.protocol import Quantization
from engine.serving.server import make_app


class Arguments(BaseModel):
    """What `args` of the application in the YAML file may hold.

    Parameters
    ----------
    model, device, dtype, quantization : str
        As `engine.load_engine` takes them.
    token_env : str, optional
        Environment variable that holds the token, on every node.
    in_flight, batch : int
        As `engine.serving.server.make_app` takes them, for each replica.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded"
    device: str = "auto"
    dtype: str = "auto"
    quantization: Quantization = "none"
    token_env: str | None = None
    in_flight: int = 16
    batch: int = 4


@serve.deployment(name="engine")
@serve.ingress()
class Replica:
    """One model on one device."""

    def __init__(self, arguments: Arguments):
        engine = load_engine(
            arguments.model, arguments.device, arguments.dtype, arguments.quantization
        )
        self._app = make_app(
            engine,
            token=_token(arguments.token_env),
            in_flight=arguments.in_flight,
            batch=arguments.batch,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._app

    def check_health(self) -> None:
        """Have Ray replace a replica whose device is broken."""
        self._app.state.queue.require_device()


def build(args: dict[str, Any]) -> Application:
    """Return the application that the YAML file names as its `import_path`, for its `args`."""
    application: Application = Replica.bind(Arguments(**args))  # type: ignore[attr-defined]
    return application


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise EngineError(f"the environment variable {variable} must hold a token on every node")
    return token
