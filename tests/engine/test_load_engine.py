import subprocess
import sys
from pathlib import Path

import pytest

from dicom_io.errors import CheckpointMismatch, EngineError
from engine import FakeEngine, load_engine
from engine.inference.local import LocalEngine


@pytest.mark.parametrize("module", ["engine", "engine.protocol", "engine.fake"])
def test_the_light_modules_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; assert not {{'torch', 'transformers'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_fake_engine_has_a_name() -> None:
    assert isinstance(load_engine("fake"), FakeEngine)


def test_a_folder_is_a_checkpoint(folder: Path) -> None:
    engine = load_engine(folder, device="cpu")
    assert isinstance(engine, LocalEngine)
    assert engine.identity.name == "tiny"


def test_a_folder_without_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no checkpoint at .*nowhere"):
        load_engine(tmp_path / "nowhere")


def test_a_folder_with_another_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointMismatch, match=r"config\.json"):
        load_engine(tmp_path, device="cpu")


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(folder: Path, device: str) -> None:
    with pytest.raises(EngineError, match=device):
        load_engine(folder, device=device)


def test_a_type_that_models_do_not_run_in_is_named(folder: Path) -> None:
    with pytest.raises(EngineError, match="int8"):
        load_engine(folder, device="cpu", dtype="int8")
