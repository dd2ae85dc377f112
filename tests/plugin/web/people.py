"""People with open sessions, and their browsers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from plugin.state.database import SessionFactory
from plugin.state.kept.people import Person, SignIn
from plugin.web.access.gate import COOKIE, CSRF_HEADER


def add_person(sessions: SessionFactory, name: str, *roles: str) -> None:
    """Somebody whose session is open: its cookie is the name. No password is ever hashed."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        session.add(
            Person(name=name, display_name=name.title(), roles=list(roles), password="", failures=0)
        )
        digest = hashlib.sha256(name.encode()).hexdigest()
        session.add(
            SignIn(digest=digest, person_name=name, csrf="token", began_at=now, used_at=now)
        )


def browser(app: FastAPI, name: str) -> TestClient:
    """The browser of somebody who has signed in."""
    headers = {CSRF_HEADER: "token"}
    return TestClient(app, cookies={COOKIE: name}, headers=headers)


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    """Status and code of an answer that is an error."""
    return answer.status_code, answer.json()["code"]
