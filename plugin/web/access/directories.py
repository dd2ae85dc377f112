"""People sign in with a directory of their house, by OpenID Connect."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from dicom_io.errors import PluginError
from plugin.endpoints import read_secret
from plugin.sections.web import Directory as Settings
from plugin.web.access.sessions import Role
from plugin.web.access.vouched import Vouched
from plugin.web.dicomweb.problems import Refused

LOGGER = logging.getLogger(__name__)
# A person waits
_TIMEOUT_S = 10
# For a second factor and a password that is looked for
_PENDING_S = 600
PENDING_COOKIE = "ctscribe_pending"


class Directory:
    """A directory: people are sent to it, and come back with what it says of them.

    Authorization code flow with PKCE (RFC 7636, S256), state and nonce (OpenID Connect Core 3.1).

    Parameters
    ----------
    settings : Settings
        Of the directory.

    Raises
    ------
    ConfigurationError
        The environment holds no secret.
    """

    def __init__(self, settings: Settings) -> None:
        self.id, self.title = settings.id, settings.title
        self._settings = settings
        self._client = OAuth().register(
            settings.id,
            client_id=settings.client_id,
            client_secret=read_secret(settings.secret_env) if settings.secret_env else None,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(settings.scopes),
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_S,
            },
        )

    async def ask(self, request: Request, back: str) -> Response:
        """Send a browser to the directory.

        Parameters
        ----------
        request : Request
            Of the browser.
        back : str
            Address that the directory sends the browser to.

        Raises
        ------
        Refused
            The directory does not answer, or is another one.
        """
        try:
            await self._describe()
            answer: Response = await self._client.authorize_redirect(request, back)
        except (PluginError, httpx2.HTTPError, AuthlibBaseError, RuntimeError) as error:
            raise _refused(f"{type(error).__name__}: {error}") from error
        return answer

    def check(self) -> None:
        """Read what the directory says of itself.

        Raises
        ------
        PluginError
            It does not answer, or is another one.
        """
        anyio.run(self._describe)

    async def _describe(self) -> None:
        issuer = self._settings.issuer.rstrip("/")
        try:
            metadata = await self._client.load_server_metadata()
        except (httpx2.HTTPError, ValueError) as error:
            raise PluginError(f"no description: {type(error).__name__}") from error
        # OpenID Connect Discovery 4.3: else another provider could speak in its place
        if str(metadata.get("issuer", "")).rstrip("/") != issuer:
            raise PluginError("it calls itself by another name than the settings")

    async def welcome(self, request: Request) -> Vouched:
        """Return who comes back from the directory.

        Raises
        ------
        Refused
            The directory did not say so, or the person has no role here.
        """
        try:
            token = await self._client.authorize_access_token(request)
            claims = dict(token.get("userinfo") or {})
            if claims and self._settings.roles_claim.partition(".")[0] not in claims:
                claims |= await self._asked(token, claims["sub"])
        except (httpx2.HTTPError, AuthlibBaseError, JoseError, ValueError, RuntimeError) as error:
            raise _refused(type(error).__name__) from error
        if not claims:
            raise _refused("it sent no ID token")
        return vouched(self._settings, claims)

    async def _asked(self, token: Mapping[str, Any], subject: str) -> dict[str, Any]:
        """Ask for claims that the ID token lacks, where the directory can be asked."""
        metadata = await self._client.load_server_metadata()
        if "userinfo_endpoint" not in metadata:
            return {}
        claims = await self._client.userinfo(token=token)
        # OpenID Connect Core 5.3.2: claims of somebody else are not to be used
        return dict(claims) if claims.get("sub") == subject else {}


def vouched(settings: Settings, claims: Mapping[str, Any]) -> Vouched:
    """Read who somebody is from the claims of a directory.

    Parameters
    ----------
    settings : Settings
        Which claim means what.
    claims : mapping of str to Any
        They were checked.

    Raises
    ------
    Refused
        None of the person's groups has a role.
    """
    found: Any = claims
    for key in settings.roles_claim.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    groups = {found} if isinstance(found, str) else {*map(str, found or ())}
    roles = tuple(role for role in Role if groups & {*settings.roles.get(role.value, ())})
    if not roles:
        raise Refused(403, "no-role", "the directory gives this person no role here")
    name = str(claims.get(settings.name_claim) or "")
    display_name = str(claims.get("name") or name)[:128]
    return Vouched(settings.id, str(claims["sub"]), name, display_name, roles)


def keep_pending(app: Starlette, *, secure: bool) -> None:
    """Keep what a browser needs to come back with, in a signed cookie of ten minutes.

    The key is this process's: whoever is on the way when it restarts, begins again.
    """
    app.add_middleware(
        SessionMiddleware,
        secret_key=secrets.token_urlsafe(32),
        session_cookie=PENDING_COOKIE,
        max_age=_PENDING_S,
        path="/api/session/oidc",
        same_site="lax",
        https_only=secure,
    )


def directories_of(settings: Sequence[Settings]) -> tuple[Directory, ...]:
    """Return the directories that settings name."""
    return tuple(Directory(one) for one in settings)


def _refused(reason: str) -> Refused:
    LOGGER.warning("nobody was signed in by the directory: %s", reason)
    return Refused(403, "directory-failed", "the directory did not sign you in: try again")
