"""Who listens for proxies answers nobody else: what is not encrypted stays between the two."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class OnlyProxies:
    """Refuses whoever is no proxy of the settings.

    Parameters
    ----------
    app : ASGIApp
        What answers proxies.
    proxies : sequence of IPv4Network or IPv6Network
        Their addresses.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[IPv4Network | IPv6Network]) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._knows(scope.get("client")):
            await self._app(scope, receive, send)
            return
        body = {"error": "this address is for the proxy of the service", "code": "no-proxy"}
        await JSONResponse(body, status_code=403)(scope, receive, send)

    def _knows(self, client: tuple[str, int] | None) -> bool:
        return client is not None and any(ip_address(client[0]) in one for one in self._proxies)
