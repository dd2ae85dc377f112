"""What goes and what stays, on the hospital's own clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from bench.year import files_below
from plugin.administration.overview import study_to_dict
from plugin.state.columns import Base
from plugin.state.kept.beside import paths_beside
from plugin.state.kept.trials import Shadow
from plugin.state.tables import (
    Absent,
    Delivery,
    DeliveryState,
    Draft,
    Event,
    Hold,
    Instance,
    Job,
    Level,
    Quarantine,
    Removal,
    Study,
    Verdict,
)
from plugin.upkeep.keeping.limits import Disk, Limit, Limits
from plugin.upkeep.keeping.retention import MOST, plan
from plugin.upkeep.keeping.study_rows import _leads_to

DAY = timedelta(days=1)


def images(spool) -> int:
    return files_below(spool.root / "instances")[0]


def messages(rows, kind: str) -> list[str]:
    return [event.message for event in rows(Event) if event.kind == kind]


def test_the_images_of_a_delivered_study_go_when_they_are_old(hospital, pruned, rows, spool):
    hospital.studies(1)
    hospital.pass_by(days=29)
    assert pruned() == []
    assert images(spool) == 3
    size = files_below(spool.root / "instances")[1]
    hospital.pass_by(days=2)
    (gone,) = pruned()
    assert (gone.rule, gone.size, gone.why) == ("images", size, "images_days = 30")
    assert images(spool) == 0
    assert list((spool.root / "instances").iterdir()) == []
    assert (rows(Instance), rows(Removal)) == ([], [])
    assert pruned() == []


def test_what_was_deleted_stays_explained(hospital, pruned, rows, sessions):
    hospital.studies(1)
    hospital.pass_by(days=31)
    pruned()
    assert messages(rows, "pruned") == [
        "3 objects were deleted from the spool by the rule images_days = 30"
    ]
    with sessions() as session:
        told = study_to_dict(session, session.query(Study).one())
    assert told["verdict"] == "draft 1 (complete): pacs proved"
    assert Path(told["draft"]["path"]).parent.name == "drafts"


def undrafted(hospital, sessions):
    hospital.send("1.2")


def unproved(hospital, sessions):
    hospital.send("1.2")
    hospital.draft()


def failed(hospital, sessions):
    unproved(hospital, sessions)
    with sessions.begin() as session:
        session.execute(update(Delivery).values(state=DeliveryState.FAILED))


def delivered_nowhere(hospital, sessions):
    hospital.send("1.2")
    hospital.draft("")


def held(hospital, sessions):
    hospital.studies(1)
    with sessions.begin() as session:
        session.add(Hold(association="a", study_id=1, heartbeat=hospital.now))


def come_again(hospital, sessions):
    (study,) = hospital.studies(1)
    hospital.send(study, content=b"other")


def on_trial(hospital, sessions):
    hospital.studies(1)
    with sessions.begin() as session:
        values = {"not_before": hospital.now, "created_at": hospital.now}
        session.add(Shadow(draft_id=1, model_name="candidate", **values))


@pytest.mark.parametrize(
    "make", [on_trial, undrafted, unproved, failed, delivered_nowhere, held, come_again]
)
def test_what_is_not_done_stays_however_old_and_however_full_the_disk(
    hospital, pruned, rows, spool, sessions, make
):
    make(hospital, sessions)
    hospital.pass_by(days=400)
    before = files_below(spool.root)
    assert pruned(free=0, high=0.85, low=0.75, rows=Limit(DAY), drafts=Limit(DAY)) == []
    assert files_below(spool.root) == before
    assert rows(Removal) == []


def test_images_of_a_draft_that_was_retracted_stay(hospital, pruned, sessions):
    hospital.studies(1)
    with sessions.begin() as session:
        session.execute(update(Draft).values(retraction_path="drafts/note.dcm"))
    hospital.pass_by(days=400)
    assert pruned(free=0, high=0.85, low=0.75, undrafted=Limit(DAY)) == []


def test_what_was_delivered_just_now_stays(hospital, pruned):
    hospital.studies(1)
    assert pruned(free=0, high=0.85, low=0.75) == []


def a_study_a_day(hospital, spool, days: int) -> tuple[list[str], int]:
    """Their UIDs, and a little less than what the largest takes."""
    studies = []
    for _ in range(days):
        studies += hospital.studies(1)
        hospital.pass_by(days=1)
    return studies, files_below(spool.root / "instances")[1] // days


def test_under_the_high_mark_nothing_goes(hospital, pruned, spool):
    _, size = a_study_a_day(hospital, spool, 2)
    assert pruned(total=100 * size, free=10 * size, high=0.9, low=0.8) == []


def test_above_the_high_mark_the_oldest_delivered_go_down_to_the_low_mark(
    hospital, pruned, rows, spool
):
    studies, size = a_study_a_day(hospital, spool, 5)
    gone = pruned(total=1000 * size, free=599 * size, high=0.4, low=0.3995)
    assert [one.why for one in gone] == ["high_percent = 40"] * 2
    left = [row.study_instance_uid for row in rows(Study) if row.image_bytes]
    assert left == studies[2:]


def test_images_take_their_share_of_the_disk_and_no_more(hospital, pruned, spool):
    _, size = a_study_a_day(hospital, spool, 4)
    gone = pruned(total=100 * size, free=90 * size, images=Limit(None, 0.025))
    assert [one.why for one in gone] == ["images_percent = 2.5"] * 2


@pytest.mark.parametrize(
    ("disk", "floor", "above"),
    [
        (Disk(1000, 149), 0, 101),  # 85 % are used, 75 % are wanted
        (Disk(1000, 150), 0, 0),
        (Disk(100, 20), 12, 16),  # 24 is twice the floor, 36 three times
        (Disk(100, 24), 12, 0),
    ],
)
def test_the_marks_lie_far_above_the_floor(disk, floor, above):
    assert disk.above_high(Limits(high=0.85, low=0.75, floor_bytes=floor)) == above


def test_without_marks_a_full_disk_deletes_nothing():
    assert Disk(100, 0).above_high(Limits(floor_bytes=50)) == 0


def test_a_study_without_a_draft_goes_only_if_the_settings_say_so(hospital, pruned, rows, sessions):
    hospital.send("1.2")
    with sessions.begin() as session:
        session.execute(update(Job).values(state="failed"))
    hospital.pass_by(days=31)
    assert pruned() == []
    (gone,) = pruned(undrafted=Limit(30 * DAY))
    assert (gone.rule, rows(Instance)) == ("undrafted", [])


def test_a_draft_goes_after_its_images_and_is_still_explained(
    hospital, pruned, rows, spool, sessions
):
    hospital.studies(1)
    for path in paths_beside(rows(Draft)[0].sop_instance_uid):
        spool.absolute(path).write_bytes(b"evidence")
    with sessions.begin() as session:
        session.execute(update(Draft).values(withheld=[["FINDINGS", "There is ascites."]]))
    hospital.pass_by(days=31)
    pruned(drafts=Limit(40 * DAY))
    assert files_below(spool.drafts)[0] == 3
    hospital.pass_by(days=10)
    (gone,) = pruned(drafts=Limit(40 * DAY))
    assert (gone.rule, files_below(spool.drafts)[0]) == ("drafts", 0)
    assert rows(Draft)[0].withheld is None
    assert messages(rows, "draft pruned") == [
        "draft 1 was deleted from the spool by the rule drafts_days = 40"
    ]
    assert pruned(drafts=Limit(40 * DAY)) == []


def test_replaced_copies_go_and_it_is_still_known_that_they_came(
    hospital, pruned, rows, spool, sessions
):
    (study,) = hospital.studies(1)
    hospital.send(study, content=b"other")
    with sessions.begin() as session:
        session.execute(update(Quarantine).values(verdict=Verdict.SAME))
    hospital.draft()
    hospital.deliver()
    hospital.pass_by(days=20)
    gone = pruned(quarantine=Limit(10 * DAY))
    assert [one.rule for one in gone] == ["quarantine"] * 3
    assert images(spool) == 3
    assert [row.path for row in rows(Quarantine)] == [""] * 3
    hospital.send(study, content=b"other")  # its file is there again, and named
    assert all(spool.absolute(row.path).is_file() for row in rows(Quarantine))
    hospital.pass_by(days=1)
    assert len(pruned(quarantine=Limit(10 * DAY))) == 3
    assert images(spool) == 3


def test_what_is_set_aside_goes_with_the_study(hospital, pruned, rows, spool, sessions):
    (study,) = hospital.studies(1)
    hospital.send(study, content=b"other")
    with sessions.begin() as session:
        session.execute(update(Quarantine).values(verdict=Verdict.ASIDE))
    hospital.draft()
    hospital.deliver()
    hospital.pass_by(days=20)
    assert pruned(quarantine=Limit(10 * DAY)) == []
    hospital.pass_by(days=20)
    pruned()
    assert (images(spool), rows(Quarantine)) == (0, [])


def test_damaged_files_go_when_they_are_old(hospital, pruned, spool):
    (spool.damaged / "x.dcm").write_bytes(b"x")
    hospital.pass_by(days=-400)
    assert pruned(orphans=Limit(90 * DAY)) == []
    hospital.pass_by(days=4000)
    (gone,) = pruned(orphans=Limit(90 * DAY))
    assert (gone.rule, gone.why) == ("orphans", "orphans_days = 90")
    assert list(spool.damaged.iterdir()) == []


def test_all_rows_of_a_study_go_at_last(hospital, pruned, rows, sessions):
    (study,) = hospital.studies(1)
    hospital.send(study, again=True)
    hospital.draft()  # one that supersedes the other
    hospital.deliver()
    with sessions.begin() as session:
        absent = {"study_instance_uid": study, "sop_instance_uid": "1", "since": hospital.now}
        session.add(Absent(**absent))
    all_rules = {"images": Limit(DAY), "drafts": Limit(2 * DAY), "rows": Limit(3 * DAY)}
    hospital.pass_by(days=4)
    pruned(**all_rules)  # images and drafts first
    assert [one.rule for one in pruned(**all_rules)] == ["rows"]
    with sessions() as session:
        of_studies = [t for t in Base.metadata.sorted_tables if _leads_to(t, 1) is not None]
        left = [t.name for t in of_studies if session.execute(t.select()).first()]
    assert (left, rows(Absent)) == ([], [])


def test_no_table_keeps_a_row_of_a_study_that_is_forgotten():
    """Whatever a table is called: what refers to a study is found along the foreign keys."""
    of_no_study = {"absent"}  # which knows UIDs only
    lost = {t.name for t in Base.metadata.sorted_tables if _leads_to(t, 1) is None}
    referring = {
        t.name
        for t in Base.metadata.sorted_tables
        if any(key.column.table.name in ("studies", "drafts", "jobs") for key in t.foreign_keys)
    }
    assert not lost & referring
    assert of_no_study <= lost


def test_a_database_takes_its_share_of_the_disk_and_no_more(hospital, pruned, rows, sessions):
    if sessions.kw["bind"].dialect.name != "sqlite":
        pytest.skip("PostgreSQL has a disk of its own")
    hospital.studies(4)
    hospital.pass_by(days=4)
    limits = {"images": Limit(DAY), "drafts": Limit(DAY), "rows": Limit(None, 0.5)}
    pruned(**limits)
    with sessions() as session:
        pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
    gone = pruned(total=pages * 4096, **limits)
    assert {one.why for one in gone} == {"rows_percent = 50"}
    assert 2 <= len(gone) <= 4


def test_a_plan_deletes_nothing(hospital, sessions, spool, rows):
    hospital.studies(2)
    hospital.pass_by(days=31)
    before = files_below(spool.root)
    found = plan(sessions, spool, Limits(images=Limit(30 * DAY)), hospital.now)
    assert [one.rule for one in found] == ["images"] * 2
    assert files_below(spool.root) == before
    assert len(rows(Instance)) == 6


def test_a_disk_that_fills_although_nothing_may_go_is_said_once(hospital, pruned, rows):
    hospital.send("1.2")
    hospital.pass_by(days=1)
    marks = {"high": 0.85, "low": 0.75}
    for _ in range(2):
        pruned(free=0, **marks)
    (told,) = [event for event in rows(Event) if event.kind == "disk filling"]
    assert told.level == Level.ALERT
    assert told.message == (
        "the spool's disk is more than 85 % full, or near its floor, and no more images may be "
        "deleted: 1 study without a draft"
    )
    for _ in range(2):
        pruned(**marks)
    assert messages(rows, "disk eased") == ["the spool's disk has space again"]


def test_a_turn_takes_so_many_and_no_more(hospital, pruned, monkeypatch):
    monkeypatch.setattr("plugin.upkeep.keeping.retention.MOST", 2)
    assert MOST == 500
    hospital.studies(3)
    hospital.pass_by(days=31)
    assert [len(pruned()) for _ in range(3)] == [2, 1, 0]


def test_the_same_study_is_not_deleted_twice_by_two_processes(hospital, sessions, spool, rows):
    from plugin.upkeep.keeping.removal import RULES, remove

    hospital.studies(1)
    hospital.pass_by(days=31)
    rule = RULES["images"]
    assert remove(sessions, rule, 1, "x", hospital.now)
    assert not remove(sessions, rule, 1, "x", hospital.now)
    with sessions.begin() as session:
        for table in (Delivery, Draft, Job, Event, Removal):
            session.execute(delete(table))
        session.execute(Base.metadata.tables["series"].delete())
        session.execute(delete(Study))
    assert not remove(sessions, rule, 1, "x", hospital.now)


def test_a_year_in_miniature_holds_its_limits(tmp_path):
    from bench.year import simulate

    limits = Limits(
        images=Limit(3 * DAY), drafts=Limit(6 * DAY), rows=Limit(9 * DAY), high=0.85, low=0.75
    )
    figures = list(
        simulate(tmp_path, days=24, studies=2, slices=2, limits=limits, capacity=10**9, step=12)
    )
    # What two studies a day leave in 3, 6 and 9 days, and not what 24 days would
    assert [day.files for day in figures] == [figures[0].files] * 2
    first, last = (day.rows - day.entries for day in figures)
    assert first == last
    assert figures[-1].files < 2 * (2 * 5 + 8)
