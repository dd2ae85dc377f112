"""WADO-RS (PS3.18 10.4): instances, their metadata, frames and bulk data, and rendered images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_io.errors import DicomError
from dicom_io.slices.read import read_instance
from plugin.web.dicomweb.accept import Taken, accepted, gathered, multipart, pieces_of, takes
from plugin.web.dicomweb.archive import Archive, Kept
from plugin.web.dicomweb.frames import MEDIA_TYPES, RAW, media_type, read_frames
from plugin.web.dicomweb.metadata import PIXEL_DATA, Metadata
from plugin.web.dicomweb.problems import Refused
from plugin.web.dicomweb.rendered import (
    DEFAULT_QUALITY,
    THUMBNAIL,
    Look,
    parse_viewport,
    parse_window,
    render,
)

DICOM = "application/dicom"
JSON = "application/dicom+json"
Viewed = Callable[[Request, str], None]
"""Told the request and the StudyInstanceUID of what a person is shown."""


class Wado:
    """Answers of WADO-RS.

    Parameters
    ----------
    archive : Archive
        What is retrieved.
    viewed : Viewed
        Told whose study somebody sees.
    """

    def __init__(self, archive: Archive, viewed: Viewed) -> None:
        self._archive = archive
        self._metadata = Metadata(archive)
        self._viewed = viewed

    def _seen(
        self, request: Request, study: str, series: str | None, instance: str | None
    ) -> Sequence[Kept]:
        found = self._archive.instances(study, series, instance)
        self._viewed(request, study)
        return found

    def objects(
        self, request: Request, study: str, series: str | None = None, instance: str | None = None
    ) -> Response:
        """Whole instances as they were received.

        Parameters
        ----------
        request : Request
            Its Accept header says what is wanted.
        study, series, instance : str
            UIDs; None is any.
        """
        found = self._seen(request, study, series, instance)
        ranges = [one for one in accepted(request) if one.quality > 0 and one.covers(DICOM)]
        kept_as = {one.transfer_syntax for one in found}
        if not any(_allows(one, syntax) for one in ranges for syntax in kept_as):
            raise Refused(406, "not-acceptable", f"instances are sent as {DICOM}, as they came")
        if instance is not None and not ranges[0].multipart and ranges[0].media_type == DICOM:
            return StreamingResponse(pieces_of(str(found[0].path)), media_type=DICOM)
        parts = (
            (f"{DICOM}; transfer-syntax={one.transfer_syntax}", pieces_of(str(one.path)))
            for one in found
        )
        return multipart(parts, DICOM)

    def metadata(
        self, request: Request, study: str, series: str | None = None, instance: str | None = None
    ) -> Response:
        """Headers as DICOM JSON.

        Parameters
        ----------
        request : Request
            Its Accept header says what is wanted.
        study, series, instance : str
            UIDs; None is any.
        """
        if takes(accepted(request), JSON, "application/json") is None:
            raise Refused(406, "not-acceptable", f"metadata is sent as {JSON}")
        found = self._seen(request, study, series, instance)
        pieces = (piece.encode("ascii") for piece in self._metadata.of(found))
        return StreamingResponse(gathered(pieces), media_type=JSON)

    def frames(
        self, request: Request, study: str, series: str, instance: str, frames: str
    ) -> Response:
        """Frames as they are stored, uncompressed where the client wants them so.

        Parameters
        ----------
        request : Request
            Its Accept header says what is wanted.
        study, series, instance : str
            UIDs.
        frames : str
            Their numbers, 1 first, with commas between them.
        """
        (kept,) = self._seen(request, study, series, instance)
        numbers = _numbers(frames)
        stored = media_type(kept.transfer_syntax)
        sent = _sent_as(accepted(request), kept.transfer_syntax)
        read = read_frames(kept, numbers, decoded=sent != stored)
        return multipart(((sent, [frame]) for frame in read), sent)

    def bulk_data(
        self, request: Request, study: str, series: str, instance: str, tag: str
    ) -> Response:
        """One long value, for which metadata has an address.

        Parameters
        ----------
        request : Request
            Its Accept header is not looked at.
        study, series, instance : str
            UIDs.
        tag : str
            Eight hex digits.
        """
        (kept,) = self._seen(request, study, series, instance)
        if tag == PIXEL_DATA:
            return self._pixel_data(kept)
        try:
            element = read_instance(kept.path).header.get_item(int(tag, 16))
        except (DicomError, ValueError):
            element = None
        value = getattr(element, "value", None)
        if not isinstance(value, bytes):
            raise Refused(404, "not-found", "the instance has no such value")
        return multipart([(RAW, [value])], RAW)

    def _pixel_data(self, kept: Kept) -> Response:
        """All frames, each in a part of its own (PS3.18 8.7.3)."""
        sent = media_type(kept.transfer_syntax)
        return multipart(((sent, [frame]) for frame in read_frames(kept)), sent)

    def rendered(
        self,
        request: Request,
        study: str,
        series: str,
        instance: str,
        frames: str = "1",
        window: str | None = None,
        viewport: str | None = None,
        quality: int = DEFAULT_QUALITY,
    ) -> Response:
        """A frame as JPEG or PNG.

        Parameters
        ----------
        request : Request
            Its Accept header says what is wanted.
        study, series, instance : str
            UIDs.
        frames : str
            The frame's number, 1 first.
        window, viewport : str, optional
            See `parse_window` and `parse_viewport`.
        quality : int
            Of a JPEG, 1 to 100.
        """
        (kept,) = self._seen(request, study, series, instance)
        look = Look(parse_window(window), parse_viewport(viewport), quality, _png(request))
        number, *more = _numbers(frames)
        if more or not 1 <= quality <= 100:
            raise Refused(400, "bad-request", "one frame is rendered, with a quality of 1 to 100")
        return Response(render(kept, number, look), media_type=look.media_type)

    def thumbnail(
        self, request: Request, study: str, series: str | None = None, instance: str | None = None
    ) -> Response:
        """A small image of the instance in the middle.

        Parameters
        ----------
        request : Request
            Its Accept header says what is wanted.
        study, series, instance : str
            UIDs; None is any.
        """
        found = self._seen(request, study, series, instance)
        images = [one for one in found if one.sop_class.startswith(_IMAGES)] or found
        look = Look(viewport=THUMBNAIL, png=_png(request))
        image = render(images[len(images) // 2], 1, look)
        return Response(image, media_type=look.media_type)


# Computed tomography: original, enhanced and converted (PS3.4 B.5)
_IMAGES = "1.2.840.10008.5.1.4.1.1.2"


def _allows(taken: Taken, syntax: str) -> bool:
    return taken.transfer_syntax in ("", "*", syntax)


def _sent_as(ranges: Sequence[Taken], syntax: str) -> str:
    """Choose how frames are sent: as they are stored, if the client lets them.

    PS3.18 8.7.3.3.2: application/octet-stream without a transfer syntax is uncompressed.
    """
    stored, uncompressed = media_type(syntax), f"{RAW}; transfer-syntax={ExplicitVRLittleEndian}"
    compressed = UID(syntax) in MEDIA_TYPES
    for one in ranges:
        if one.quality <= 0:
            continue
        if one.covers(stored.partition(";")[0]) and _allows(one, syntax):
            return stored
        if one.covers(RAW):
            if compressed and one.transfer_syntax in ("*", syntax):
                return stored
            if one.transfer_syntax in ("", "*", ExplicitVRLittleEndian):
                return uncompressed
    raise Refused(406, "not-acceptable", f"the frames are sent as {stored}, or as {uncompressed}")


def _png(request: Request) -> bool:
    chosen = takes(accepted(request), "image/jpeg", "image/png")
    if chosen is None:
        raise Refused(406, "not-acceptable", "images are rendered as image/jpeg or image/png")
    return chosen == "image/png"


def _numbers(frames: str) -> list[int]:
    parts = frames.split(",")
    if not all(part.isdecimal() and len(part) < 9 for part in parts):
        raise Refused(400, "bad-frames", "frames are whole numbers with commas between them")
    return [int(part) for part in parts]
