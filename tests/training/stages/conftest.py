from pathlib import Path

import pytest

from tests.training.stages.small import write_recipe, write_store, write_text_encoder


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="session")
def text_encoder(tmp_path_factory) -> Path:
    return write_text_encoder(tmp_path_factory.mktemp("text"))


@pytest.fixture
def recipe(tmp_path, text_encoder) -> Path:
    return write_recipe(tmp_path / "small.toml", text_encoder)
