import pytest
import torch


@pytest.fixture(autouse=True)
def _same_every_time() -> None:
    torch.manual_seed(0)
