import json

import pytest

from training.ablation.jobs import Job, once, run_jobs, seconds_left


def job(folder, done, name, fail=False):
    def work():
        if fail:
            raise KeyboardInterrupt
        done.append(name)

    return Job("kind", name, folder / name, 1, work)


def run(*jobs, expected=None):
    run_jobs(jobs, jobs, expected or {})


def finish(folder, seconds):
    folder.mkdir()
    took = {"seconds": seconds, "processor_seconds": 2 * seconds}
    (folder / "finished.json").write_text(json.dumps(took))


def test_jobs_run_in_their_order_and_say_how_far_they_are(tmp_path, capsys):
    done = []
    run(*(job(tmp_path, done, name) for name in ("first", "second")))
    assert done == ["first", "second"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["[1/2] first", "[2/2] second, 0:00:00 left"]


def test_a_killed_run_goes_on_with_the_job_that_was_not_finished(tmp_path):
    done = []
    with pytest.raises(KeyboardInterrupt):
        run(job(tmp_path, done, "first"), job(tmp_path, done, "second", fail=True))
    run(job(tmp_path, done, "first"), job(tmp_path, done, "second"))
    assert done == ["first", "second"]


def test_time_left_is_that_of_finished_jobs_of_the_kind(tmp_path, capsys):
    finish(tmp_path / "first", 60)
    finish(tmp_path / "third", 10)
    kinds = {"first": "long", "second": "long", "third": "short", "fourth": "short"}
    run(*(Job(kind, name, tmp_path / name, 1, lambda: None) for name, kind in kinds.items()))
    assert capsys.readouterr().err.splitlines()[0] == "[2/4] second, 0:01:10 left"


def test_time_left_counts_units_and_begins_with_what_was_expected(tmp_path):
    jobs = [Job("stage", name, tmp_path / name, n, print) for name, n in (("a", 10), ("b", 30))]
    assert seconds_left(jobs, {}) is None
    assert seconds_left(jobs, {"stage": 2.0}) == 80
    finish(tmp_path / "a", 5)
    assert seconds_left(jobs, {"stage": 2.0}) == 15


def test_a_job_says_its_time_on_the_clock_and_of_the_processor(tmp_path):
    one = job(tmp_path, [], "first")
    assert one.seconds is None
    assert one.processor_seconds is None
    one.run()
    assert one.seconds >= 0
    assert one.processor_seconds >= 0


def test_what_several_need_is_done_once_where_it_is_needed_first(tmp_path):
    names = ["tower", "a", "tower", "b"]
    assert [one.name for one in once(job(tmp_path, [], n) for n in names)] == ["tower", "a", "b"]
