"""Where a sentence of a draft comes from, as a map over the images."""

from __future__ import annotations

from sqlalchemy import select

from plugin.state.database import SessionFactory
from plugin.state.kept.heat_maps import HeatMap
from plugin.web.dicomweb.problems import Refused
from plugin.web.reading.drafts import Written, sentences_of


def heat_of(written: Written, sentence: str, sessions: SessionFactory) -> HeatMap:
    """Return the map of a sentence.

    Parameters
    ----------
    written : Written
        The draft.
    sentence : str
        Its id on the page.
    sessions : SessionFactory
        Of the service's database.

    Raises
    ------
    Refused
        There is no such sentence, or the model does not tell where it comes from.
    """
    said = sentences_of(written.report).get(sentence)
    if said is not None:
        with sessions() as session:
            maps = session.scalars(select(HeatMap).where(HeatMap.draft_id == written.row.id)).all()
        for one in maps:
            stem = one.sentence.rstrip(".")
            # The report names slices before the full stop
            if said.startswith(stem) and said[len(stem) :][:2] in ("", ".", " ("):
                return one
    raise Refused(404, "no-heat-map", "the model does not tell where it saw this sentence")
