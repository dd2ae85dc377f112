"""What a request is refused with: one sentence, and a word for programs."""

from __future__ import annotations

import math
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel


class Refusal(BaseModel):
    """Body of every answer that is an error."""

    error: str
    code: str


class Refused(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : int
        Of HTTP.
    code : str
        For programs.
    error : str
        For a person; it names no patient.
    after_s : float, optional
        When it is of use to ask again.
    """

    def __init__(self, status: int, code: str, error: str, *, after_s: float | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.after_s = after_s


async def answer_refused(_: Request, refused: Exception) -> JSONResponse:
    """Turn a `Refused` into its answer; for `FastAPI.add_exception_handler`."""
    assert isinstance(refused, Refused)
    return refusal_of(refused)


def refusal_of(refused: Refused) -> JSONResponse:
    """Return the answer to a request that is refused."""
    body = {"error": str(refused), "code": refused.code}
    after_s = refused.after_s
    headers = None if after_s is None else {"Retry-After": str(max(1, math.ceil(after_s)))}
    return JSONResponse(body, status_code=refused.status, headers=headers)


def may_answer(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare the errors of a route for its description."""
    return {status: {"model": Refusal} for status in (401, 403, 429, *statuses)}
