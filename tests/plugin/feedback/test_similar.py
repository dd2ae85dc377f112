"""Studies that look alike are found by what the model saw of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from plugin.feedback.similar import Embeddings, nearest
from plugin.state.kept.embeddings import ImageEmbedding
from plugin.state.tables import Draft
from plugin.upkeep.keeping.study_rows import delete_study
from tests.plugin.feedback.conftest import Ward


def test_the_nearest_come_first() -> None:
    vectors = np.eye(4, dtype=np.float32)
    wanted = np.array([0.6, 0, 0.8, 0], np.float32)
    rows, cosines = nearest(vectors, wanted, 2)
    assert rows.tolist() == [2, 0]
    assert cosines == pytest.approx([0.8, 0.6])
    assert nearest(vectors[:0], wanted, 2)[0].tolist() == []


def test_studies_that_were_drafted_are_found(
    drafted: Callable[..., Ward], rows: Callable[[Any], list[Any]]
) -> None:
    ward = drafted(3)
    found, among = (embeddings := Embeddings(ward.sessions)).similar("1.2.0")
    assert among == 3
    assert {one.study_instance_uid for one in found} == {"1.2.1", "1.2.2"}
    with ward.sessions.begin() as session:
        draft = session.get_one(Draft, found[0].draft_id)
        gone = draft.study.study_instance_uid
        delete_study(session, draft.study)
    assert gone not in {one.study_instance_uid for one in embeddings.similar("1.2.0")[0]}
    assert len(rows(ImageEmbedding)) == 2


def test_a_study_without_a_draft_has_none(ward: Ward) -> None:
    assert Embeddings(ward.sessions).similar("1.2.99") == ([], 0)
