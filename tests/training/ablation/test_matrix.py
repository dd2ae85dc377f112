import pytest

from training.ablation.matrix import Job, run_jobs


def job(folder, done, name, fail=False):
    def work():
        if fail:
            raise KeyboardInterrupt
        done.append(name)

    return Job("kind", name, folder / name, work)


def test_jobs_run_in_their_order_and_say_how_far_they_are(tmp_path, capsys):
    done = []
    run_jobs([job(tmp_path, done, name) for name in ("first", "second")])
    assert done == ["first", "second"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["[1/2] first", "[2/2] second, 0:00:00 left"]


def test_a_killed_run_goes_on_with_the_job_that_was_not_finished(tmp_path):
    done = []
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(tmp_path, done, "first"), job(tmp_path, done, "second", fail=True)])
    run_jobs([job(tmp_path, done, "first"), job(tmp_path, done, "second")])
    assert done == ["first", "second"]


def test_time_left_is_that_of_finished_jobs_of_the_kind(tmp_path, capsys):
    for name, seconds in (("first", 60), ("third", 10)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "finished.json").write_text(f'{{"seconds": {seconds}}}')
    kinds = {"first": "long", "second": "long", "third": "short", "fourth": "short"}
    run_jobs([Job(kind, name, tmp_path / name, lambda: None) for name, kind in kinds.items()])
    assert capsys.readouterr().err.splitlines()[0] == "[2/4] second, 0:01:10 left"
