"""An OpenAI-compatible server that answers as a test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.serving.asking import Asking
from engine.serving.openai_engine import OpenAIEngine
from tests.engine.servers import serving


def chunk(piece: str = "", finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": {"content": piece}, "finish_reason": finish, **more}
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


def scored(piece: str, logprob: float, **likely: float) -> str:
    top = [{"token": token, "logprob": value} for token, value in likely.items()]
    told = {"token": piece, "logprob": logprob, "top_logprobs": top}
    return chunk(piece, logprobs={"content": [told]})


DONE = chunk(finish="stop") + "data: [DONE]\n\n"


@dataclass
class Server:
    """Answers in turn; the last answer stays. Keeps what it was asked."""

    answers: list[Response]
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    models: Any = field(default_factory=lambda: {"data": [{"id": "m", "root": "weights"}]})

    async def complete(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def list(self, request: Request) -> Response:
        return JSONResponse(self.models)


@contextmanager
def answering(
    *answers: Response | str, asking: Asking, **options: Any
) -> Iterator[tuple[OpenAIEngine, Server]]:
    """Serve answers on a free port, and ask them by an engine."""
    server = Server([a if isinstance(a, Response) else Response(a) for a in answers])
    paths = [
        Route("/v1/chat/completions", server.complete, methods=["POST"]),
        Route("/v1/models", server.list),
    ]
    with serving(Starlette(routes=paths)) as url:
        engine = OpenAIEngine(f"openai+{url}", asking=asking, **options)
        try:
            yield engine, server
        finally:
            engine.close()
