from datetime import UTC, datetime, timedelta, timezone

from reporting.edition import Edition, Predecessor

HERE = timezone(timedelta(hours=1))
NOON = datetime(2024, 5, 1, 12, 0, tzinfo=HERE)


def test_a_first_draft_says_when_it_was_written_and_in_which_zone():
    assert Edition(written=NOON).sentence == "Draft 1 of 2024-05-01 12:00 UTC+01:00."


def test_utc_is_said_without_an_offset():
    written = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
    assert Edition(written=written).sentence == "Draft 1 of 2024-05-01 12:00 UTC."


def test_a_later_one_says_what_it_replaces_in_its_own_zone():
    before = Predecessor("1", "2", "3", 1, datetime(2024, 5, 1, 9, 30, tzinfo=UTC))
    assert Edition(2, NOON, before).sentence == (
        "Draft 2 of 2024-05-01 12:00 UTC+01:00, replaces draft 1 of 2024-05-01 10:30 UTC+01:00."
    )


def test_a_predecessor_without_a_number_is_named_all_the_same():
    sentence = Edition(3, NOON, Predecessor("1", "2", "3")).sentence
    assert sentence == "Draft 3 of 2024-05-01 12:00 UTC+01:00, replaces the draft before it."


def test_one_that_replaces_a_retracted_draft_says_so_without_the_wrong_identity():
    before = Predecessor("1.1", "1.2", "1.3", revision=1, retracted=True)
    assert Edition(2, NOON, before).sentence == (
        "Draft 2 of 2024-05-01 12:00 UTC+01:00, replaces draft 1, which was filed under another "
        "patient or accession number and is retracted."
    )
