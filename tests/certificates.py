"""An authority of the test's own, and certificates of it as files."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from dicom_io.archives.tls import Tls

LONG_AGO = datetime.now(UTC) - timedelta(days=1)


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        # RSA: the suites of DCMTK's profiles know no other keys
        self._ca = trustme.CA(key_type=trustme.KeyType.RSA)
        self._folder = folder
        self._numbers = itertools.count()
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str = "127.0.0.1", *, until: datetime | None = None) -> Tls:
        """Issue a certificate for a name; who has it believes this authority."""
        issued = self._ca.issue_cert(name, key_type=trustme.KeyType.RSA, not_after=until)
        stem = f"{name}-{next(self._numbers)}"
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        issued.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return Tls(self.file, certificate, key)

    def client(self) -> Tls:
        """Believe this authority, and have no certificate."""
        return Tls(self.file)
