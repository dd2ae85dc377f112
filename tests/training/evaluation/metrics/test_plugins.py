from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dicom_io.errors import UnusableData
from training.evaluation.metrics import plugins
from training.evaluation.metrics.plugins import load_metric

TOY = Path(__file__).parents[1] / "toy_metric.py"


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "scale.txt").write_text("0.5")
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    point = EntryPoint("length", "tests.training.evaluation.toy_metric:metric", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])


def test_a_metric_is_loaded_from_a_file(weights):
    metric = load_metric(f"{TOY}={weights}")
    assert metric.name == "length"
    assert metric.score(["abcd"], ["x"]).tolist() == [2]


@pytest.mark.usefixtures("installed")
def test_a_metric_is_loaded_by_the_name_of_its_entry_point(weights):
    assert load_metric(f"length={weights}").score(["ab"], ["x"]).tolist() == [1]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("length=/no/such/folder", "the weights of metric length are not there: /no/such/folder"),
        ("length", "metric length needs weights: length=FOLDER with scale.txt"),
        ("green", "no metric 'green' is installed .* there is length"),
        ("/no/such/file.py", "no metric at /no/such/file.py"),
    ],
)
def test_what_is_missing_is_named(wanted, message):
    with pytest.raises(UnusableData, match=message):
        load_metric(wanted)


def test_without_plug_ins_none_is_named(monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [])
    with pytest.raises(UnusableData, match="there is none"):
        load_metric("radgraph")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "has no function `metric\\(weights\\)`"),
        ("def metric(weights):\n    import no_such_package\n", "needs a package that is not here"),
        ("import no_such_package\n", "needs a package that is not here"),
    ],
)
def test_a_file_that_is_no_plug_in_is_refused(tmp_path, source, message):
    (tmp_path / "own.py").write_text(source)
    with pytest.raises(UnusableData, match=message):
        load_metric(str(tmp_path / "own.py"))
