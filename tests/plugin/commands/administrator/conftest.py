from pathlib import Path

import pytest


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a service whose spool is their folder."""
    path = tmp_path / "ctscribe.toml"
    path.write_text('[storage]\nspool = "."\n')
    return path
