"""The sizing of docs/scaling.md: the simulation counts rightly, and the page tells its record."""

from __future__ import annotations

import json

import pytest

from bench.scaling import DAY, RECORDS, Load, arrivals, engines_needed, waits
from plugin.state.database import KEPT_CONNECTIONS, MOST_CONNECTIONS
from tests.repository import ROOT

RECORD = json.loads((RECORDS / "scaling.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("engines", "batch", "waited"),
    [(1, 1, [0, 5, 10, 0]), (2, 1, [0, 0, 5, 0]), (1, 2, [0, 5, 5, 0]), (3, 1, [0, 0, 0, 0])],
)
def test_studies_wait_in_line(engines, batch, waited):
    assert waits([0.0, 1e-9, 2e-9, 100.0], engines, 5.0, batch) == pytest.approx(waited)


def test_a_day_has_its_studies_and_its_busiest_hour():
    load = Load(24_000, 1, 1)
    times = list(arrivals(load, seed=1))
    assert times == sorted(times)
    assert len(times) == pytest.approx(24_000, rel=0.03)
    busiest = DAY.index(max(DAY))
    in_it = sum(busiest * 3600 <= time < (busiest + 1) * 3600 for time in times)
    assert in_it == pytest.approx(load.peak * 3600, rel=0.06) == pytest.approx(2500, rel=0.06)


def test_the_fewest_engines_keep_up_with_the_busiest_hour():
    load = Load(10_000, 1, 1)
    needed = engines_needed(load, 6.0, 1, longest_s=60.0)["engines"]
    times = list(arrivals(load, seed=12))
    fewer = sorted(waits(times, needed - 1, 6.0, 1))
    assert fewer[int(0.95 * len(fewer))] > 60.0


def test_the_page_tells_the_record():
    page = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    alone, batched = RECORD["engines_one_study_at_a_time"], RECORD["engines_with_batches"]
    least, most = RECORD["database_connections"]
    for line in (
        f"in the busiest hour | {RECORD['studies_a_second_in_the_busiest_hour']} |",
        f"in the busiest hour | {RECORD['slices_a_second_in_the_busiest_hour']} |",
        f"in the busiest hour | {RECORD['megabytes_a_second_in_the_busiest_hour']} |",
        f"TB of images a day | {RECORD['terabytes_of_images_a_day']} |",
        f"receivers | {RECORD['receivers']} | {RECORD['slices_a_second_of_one_receiver']} slices",
        f"workers (processor cores) | {RECORD['workers']} | "
        f"{RECORD['worker_processor_s_a_study']} s",
        f"GPUs, one study at a time | {alone['engines']} | an engine of 6 s a study",
        f"in batches of {batched['batch']} | {batched['engines']} | an engine of 9 s a batch",
        f"GB of rows a day | {RECORD['gigabytes_of_rows_a_day']} | "
        f"{RECORD['bytes_of_rows_a_slice']} bytes a slice",
        f"connections to the database | {least} to {most} |",
        f"two batches at every engine: {RECORD['studies_in_hand_of_each']} in this example",
    ):
        assert line in page
    less = [round(one["wait_s_95_percent_with_one_less"]) for one in (alone, batched)]
    assert f"than {less[0]} s, or {less[1]} s in batches" in page
    assert max(alone["wait_s_95_percent"], batched["wait_s_95_percent"]) < 6
    assert f"keeps up to {KEPT_CONNECTIONS} connections" in page
    assert f"must be {MOST_CONNECTIONS + 1} for each process" in page
