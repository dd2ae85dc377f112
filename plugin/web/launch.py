"""A study is opened from a RIS or PACS by its accession number (`/study?accession=…`).

A link may be signed: whoever follows it within its short life needs no login of their own. The
signature covers the accession number, the end of its life, and who asked for it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import select

from plugin.state.database import SessionFactory
from plugin.state.tables import Study
from plugin.web.dicomweb.problems import Refused

LONGEST_LIFE_S = 3600
"""A link is for one click from a worklist; it may be copied from a browser's history later."""


@dataclass(frozen=True)
class Link:
    """What a signed link says.

    Parameters
    ----------
    accession : str
        Of the study.
    reader : str
        Who follows it, as the system knows them that asked for it.
    expires : int
        Seconds since 1970, UTC.
    """

    accession: str
    reader: str
    expires: int

    def signed(self, secret: bytes) -> str:
        """Return the address with its signature, relative to the service."""
        values = {"accession": self.accession, "reader": self.reader, "expires": self.expires}
        return f"/study?{urlencode({**values, 'signature': self._signature(secret)})}"

    def _signature(self, secret: bytes) -> str:
        # Each part with its length: no two links are the same bytes
        parts = [one.encode() for one in (self.accession, self.reader, str(self.expires))]
        said = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(secret, said, hashlib.sha256).hexdigest()

    def is_signed(self, secret: bytes, signature: str) -> bool:
        """Whether a signature is this link's; the comparison takes as long for every wrong one."""
        return hmac.compare_digest(self._signature(secret).encode(), signature.encode())


def checked(parameters: Mapping[str, str], secret: bytes, now_s: float) -> Link:
    """Read a signed link.

    Parameters
    ----------
    parameters : mapping
        The query of the address.
    secret : bytes
        What signs.
    now_s : float
        The moment, in seconds since 1970.

    Raises
    ------
    Refused
        It was not signed here, or is over.
    """
    expires = parameters.get("expires", "")
    if not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
        raise Refused(403, "bad-link", "the link is not signed by this service")
    accession, reader = (parameters.get(name, "") for name in ("accession", "reader"))
    link = Link(accession, reader, int(expires))
    if not link.is_signed(secret, parameters.get("signature", "")):
        raise Refused(403, "bad-link", "the link is not signed by this service")
    if not now_s <= link.expires <= now_s + LONGEST_LIFE_S:
        raise Refused(403, "link-over", "the link is over: open the study once more from its list")
    return link


def study_of_accession(sessions: SessionFactory, accession: str) -> str:
    """Return the StudyInstanceUID of an accession number, the latest where there are several.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    accession : str
        As the RIS writes it.

    Raises
    ------
    Refused
        No study has it.
    """
    query = (
        select(Study.study_instance_uid)
        .where(Study.accession_number == accession.strip())
        .order_by(Study.first_received_at.desc())
        .limit(1)
    )
    with sessions() as session:
        found = session.scalar(query) if accession.strip() else None
    if found is None:
        raise Refused(404, "not-found", "no study with this accession number has arrived")
    return found
