from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.errors import UnusableData
from training.site.reports.moments import moments


def read(*values: str, form: str | None = None) -> list[str]:
    return list(moments(list(enumerate(values, start=2)), form))


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("2024-02-28", "20240228"),
        ("2024/2/8", "20240208"),
        ("20240228", "20240228"),
        ("20240228143005", "20240228143005"),
        ("20240228 1430", "20240228143000"),
        ("28.02.2024", "20240228"),
        ("3. 3. 2024", "20240303"),
        ("28.02.2024 14:05", "20240228140500"),
        ("28/02/2024", "20240228"),
        ("02/28/2024 02:05 PM", "20240228140500"),
        ("02/28/2024 12:05 am", "20240228000500"),
        ("2024-02-28T14:05:06.123", "20240228140506"),
        ("2024-02-28T14:05:06+02:00", "20240228120506"),
        ("2024-02-28T23:05:06Z", "20240228230506"),
        ("2024-02-28 14:05:33.123+01", "20240228130533"),
        ("28.02.2024\xa014:05 Uhr", "20240228140500"),
        ("20240228 14:05", "20240228140500"),
        ("", ""),
    ],
)
def test_a_time_is_read_as_it_is_written(written, digits):
    assert read(written) == [digits]


@given(st.lists(st.dates(date(1970, 1, 1), date(2100, 1, 1)), min_size=2, max_size=2, unique=True))
def test_days_with_dots_stand_in_the_order_of_time(days):
    earlier, later = read(*(f"{day:%d.%m.}{day.year:04d}" for day in sorted(days)))
    assert earlier < later


def test_one_row_tells_for_all_which_number_is_the_month():
    assert read("03/04/2024", "28/02/2024") == ["20240403", "20240228"]
    assert read("03/04/2024", "02/28/2024") == ["20240304", "20240228"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["03/04/2024"], "may be either day"),
        (["28/02/2024", "02/28/2024"], "some rows have the day first"),
        (["28.02.24"], "line 2: no time that is understood"),
        (["2024-02-28", "yesterday"], "line 3: no time that is understood"),
        (["31.02.2024"], "line 2: no such day"),
        (["2024-02-28 25:00"], "line 2: no such day or time"),
        (["9999-12-31"], "line 2: no year from 1970 to 2100"),
        (["0001-01-01T00:00:00+01:00"], "line 2: no year from 1970 to 2100"),
        (["02/28/2024 13:05 PM"], "line 2: no such day or time"),
        (["2024-02-28T10:00Z", "2024-02-28T10:00"], "time zone"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(values, said):
    with pytest.raises(UnusableData, match=said):
        read(*values)


def test_a_format_that_is_told_is_taken():
    assert read("3/4/2024", form="%m/%d/%Y") == ["20240304"]
    assert read("28 Feb 24 14:05", "", form="%d %b %y %H:%M") == ["20240228140500", ""]
    with pytest.raises(UnusableData, match="line 2: no time of the format"):
        read("2024-02-28", form="%m/%d/%Y")


@pytest.mark.parametrize("form", ["%d.%m", "%H:%M", "%Y", "%Y-%m", "%%d", "%Y-%m-%d %Y"])
def test_a_format_without_a_day_orders_nothing(form):
    with pytest.raises(UnusableData):
        read("2024-02-28", form=form)
