import os
import socketserver
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import quick
from tests.orthanc import RunningOrthanc, running_orthanc
from tests.repository import ROOT

# Before torch is imported: tensors are small here, and the other worker needs the other core
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A server looks up twice a second whether it shall end; hundreds end here, one after another
socketserver.BaseServer.serve_forever.__defaults__ = (0.02,)

# A test is never timed: a busy machine takes its time to draw and to run an example
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help=quick.__doc__)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return (config.getoption("quick") and quick.is_slow(collection_path)) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    if config.getoption("quick"):
        items[:] = [item for item in items if not quick.is_left_out(item)]
    # What takes long begins first, so that no process is left alone with it at the end
    items.sort(key=lambda item: not quick.is_slow(item.path))


@pytest.fixture(scope="session")
def cases() -> Path:
    """A folder of real DICOM series; they are nobody's to publish.

    CTSCRIBE_CASES names it, or it lies beside the repository. A clone alone has none and skips;
    whoever names a folder must have it.
    """
    named = os.environ.get("CTSCRIBE_CASES")
    folder = Path(named) if named else ROOT.parent / "shared" / "cases"
    if not folder.is_dir():
        if named:
            pytest.fail(f"CTSCRIBE_CASES names no folder: {named}")
        pytest.skip("no folder of real DICOM series (CTSCRIBE_CASES)")
    return folder


@pytest.fixture(scope="session")
def _orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOrthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def orthanc(_orthanc: RunningOrthanc) -> RunningOrthanc:
    """An empty Orthanc with this repository's configuration, the same process for all tests."""
    _orthanc.clear()
    return _orthanc
