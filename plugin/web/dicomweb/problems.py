"""What a request is refused with: one sentence, and a word for programs."""

from __future__ import annotations

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
    """

    def __init__(self, status: int, code: str, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.code = code


async def answer_refused(_: Request, refused: Exception) -> JSONResponse:
    """Turn a `Refused` into its answer; for `FastAPI.add_exception_handler`."""
    assert isinstance(refused, Refused)
    body = {"error": str(refused), "code": refused.code}
    return JSONResponse(body, status_code=refused.status)


def may_answer(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare the errors of a route for its description."""
    return {status: {"model": Refusal} for status in (401, 403, *statuses)}
