import pytest

from training.site.reviewing.log import Reading, read_log, sample, upper_bound, write_log


@pytest.mark.parametrize(
    ("read", "leaks", "bound"),
    [(60, 0, 0.0487), (59, 0, 0.0495), (100, 1, 0.0466), (60, 3, 0.1242), (0, 0, 1.0), (2, 2, 1.0)],
)
def test_the_bound_is_the_exact_one(read, leaks, bound):
    assert upper_bound(read, leaks) == pytest.approx(bound, abs=5e-5)


def test_the_sample_is_the_same_every_time():
    studies = [f"s-{n:020x}" for n in range(100)]
    assert sample(studies[::-1], 3) == sample(studies, 3) == studies[:3]


def test_the_log_is_kept(tmp_path):
    log = {"s-1": Reading("s-1", "Rita", "2026-01-01T00:00:00+00:00", 1)}
    write_log(tmp_path, log)
    assert read_log(tmp_path) == log
    assert (tmp_path / "read.json").stat().st_mode & 0o077 == 0
