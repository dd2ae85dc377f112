"""The headers of instances as DICOM JSON (PS3.18 annex F), kept with the study once made."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dicom_io.errors import DicomError
from dicom_io.slices.read import read_instance
from plugin.state.files.private import PRIVATE_FILE
from plugin.state.files.spool import Spool
from plugin.web.dicomweb.archive import Archive, Kept

ROOT = "/dicom-web"
"""Where the service of this host begins."""
AVAILABLE_SYNTAX = "00083002"
"""AvailableTransferSyntaxUID: how the frames are stored, which viewers ask for."""
PIXEL_DATA = "7FE00010"
# Values that are no text: from this length on an address stands for them (PS3.18 F.2.2)
_BULK_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_LONGEST_INLINE = 1024


class Conversion:
    """Turns headers into JSON, one after another.

    Most elements of a slice stand as they stood in the one before. They are not converted again.
    """

    def __init__(self) -> None:
        self._characters = ""
        self._latest: dict[BaseTag, tuple[RawDataElement, Any]] = {}

    def of(self, header: Dataset) -> dict[str, Any]:
        """Return a header as JSON; what is known is taken out of it."""
        if self._characters != (characters := str(header.get("SpecificCharacterSet"))):
            self._characters = characters  # what bytes mean as text
            self._latest.clear()
        found, fresh = {}, {}
        for tag, raw in _comparable(header).items():
            before, converted = self._latest.get(tag, (None, None))
            if before == raw:
                found[f"{tag:08X}"] = converted
                del header[tag]
            else:
                fresh[tag] = raw
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values, which may name a patient
            made = header.to_json_dict(bulk_data_threshold=2**63, suppress_invalid_tags=True)
        for tag, raw in fresh.items():
            if (converted := made.get(f"{tag:08X}")) is not None:
                self._latest[tag] = raw, converted
        return {**found, **made}


def _comparable(header: Dataset) -> dict[BaseTag, RawDataElement]:
    """Return the elements that mean the same wherever they stand; private ones do not."""
    found = {}
    for tag in list(header.keys()):
        raw: object = header.get_item(tag)
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) and not tag.is_private:
            found[tag] = raw._replace(value_tell=0)
    return found


def header_json(kept: Kept, conversion: Conversion | None = None) -> dict[str, Any]:
    """Read the header of an instance; only its UIDs where it cannot be read.

    Parameters
    ----------
    kept : Kept
        The instance. What is long and no text has an address instead of its value.
    conversion : Conversion, optional
        Knows the headers of its series that were converted before.
    """
    try:
        instance = read_instance(kept.path)
    except DicomError:
        return _bare(kept)
    header = instance.header
    bulk = _take_bulk(header)
    found = (conversion or Conversion()).of(header)
    if instance.pixel_data is not None:
        bulk[PIXEL_DATA] = "OW"
    found.update((tag, _elsewhere(kept, tag, vr)) for tag, vr in bulk.items())
    found[AVAILABLE_SYNTAX] = {"vr": "UI", "Value": [kept.transfer_syntax]}
    return dict(sorted(found.items()))


def _elsewhere(kept: Kept, tag: str, vr: str) -> dict[str, str]:
    return {"vr": vr, "BulkDataURI": f"{ROOT}/{kept.address}/bulkdata/{tag}"}


def _take_bulk(header: Dataset) -> dict[str, str]:
    """Take long values out of a header; return their tags and value representations."""
    taken = {}
    for tag in list(header.keys()):
        element = header.get_item(tag)
        value = getattr(element, "value", None)
        if isinstance(value, bytes) and len(value) > _LONGEST_INLINE:
            vr = header[tag].VR
            if vr in _BULK_VRS:
                taken[f"{int(tag):08X}"] = str(vr)
                del header[tag]
    return taken


def _bare(kept: Kept) -> dict[str, Any]:
    uids = {
        "00080016": kept.sop_class,
        "00080018": kept.sop_instance,
        "0020000D": kept.study,
        "0020000E": kept.series,
        AVAILABLE_SYNTAX: kept.transfer_syntax,
    }
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}


class Metadata:
    """Headers as JSON, made once for each series.

    The file lies in the study's folder and is deleted with it. Its name tells which instances it
    holds, so what arrives or changes later makes another.

    Parameters
    ----------
    archive : Archive
        Whose instances they are.
    """

    def __init__(self, archive: Archive) -> None:
        self._spool: Spool = archive.spool
        self._making = threading.Lock()

    def of(self, instances: Sequence[Kept]) -> Iterator[str]:
        """Yield a JSON array of the headers of instances, piece by piece."""
        yield "["
        for k, (_, own) in enumerate(groupby(_by_series(instances), attrgetter("series"))):
            yield "," * (k > 0) + self._series(list(own))
        yield "]"

    def _series(self, instances: list[Kept]) -> str:
        """Return the objects of an array, without its brackets."""
        if len(instances) == 1:
            return json.dumps(header_json(instances[0]))
        path = instances[0].path.parent / f"{instances[0].series}-{_digest(instances)}.json"
        if (made := _read(path)) is None:
            with self._making:  # several may ask at once: the others read what the first one makes
                made = _read(path) or self._make(path, instances)
        return made

    def _make(self, path: Path, instances: list[Kept]) -> str:
        conversion = Conversion()
        made = ",".join(json.dumps(header_json(one, conversion)) for one in instances)
        self._keep(str(path), made)
        return made

    def _keep(self, path: str, made: str) -> None:
        """Keep it if it can be kept: without it the next request takes as long as this one."""
        unfinished = self._spool.incoming / uuid.uuid4().hex
        with suppress(OSError):
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(made)
            unfinished.replace(path)  # fails where the study was deleted meanwhile
        unfinished.unlink(missing_ok=True)


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        return None


def _by_series(instances: Iterable[Kept]) -> list[Kept]:
    return sorted(instances, key=attrgetter("series"))


def _digest(instances: Iterable[Kept]) -> str:
    """16 hex digits, as many as tell the files of one instance apart."""
    whole = "".join(one.sha256 for one in instances)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def tag_of(name: str) -> str | None:
    """Return the eight hex digits of an attribute that is given by tag or keyword."""
    tag = tag_for_keyword(name)
    if tag is not None:
        return f"{tag:08X}"
    with suppress(ValueError):
        if len(name) == 8 and keyword_for_tag(int(name, 16)):
            return name.upper()
    return None
