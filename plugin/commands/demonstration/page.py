"""The demo's end: the draft, beside its images, in a browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from contextlib import suppress
from subprocess import Popen

import httpx

from plugin.console import say

Wait = Callable[[Popen[bytes], Callable[[], bool]], None]


def show_page(service: Popen[bytes], port: int, study: str, wait_for: Wait) -> None:
    """Open a study's page, and keep the service until Ctrl-C.

    Parameters
    ----------
    service : Popen
        The service, with its reading room.
    port : int
        Of the reading room.
    study : str
        StudyInstanceUID.
    wait_for : callable
        Waits until something is so, and raises `PluginError` where it never is.
    """
    root = f"http://127.0.0.1:{port}"
    url = f"{root}/study/{study}"
    wait_for(service, lambda: _answers(f"{root}/api/session"))
    with suppress(KeyboardInterrupt):
        opened = "The draft is open in your browser" if _open(url) else "Open it in a browser"
        say(f"\n{opened}: {url}\nCtrl-C ends the demo.")
        service.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _open(url: str) -> bool:
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # Browsers of a terminal are of this class itself: they would take the terminal over
    return type(browser) is not webbrowser.GenericBrowser and browser.open(url)
