"""What bfloat16 changes is measured beside float32, and becomes limits of abstention."""

from pathlib import Path
from shutil import copyfile

from bench import rounded
from engine import EMBEDDED
from engine.checkpoints.layouts.native import OUT_OF_DISTRIBUTION
from engine.checkpoints.weights import read_tensors
from engine.network.out_of_distribution import MARGIN, TrainingDistribution


def test_both_types_see_and_describe_the_same_phantom(tmp_path: Path) -> None:
    figures, farthest = rounded.compare(1, 1)
    assert all(1e-4 < float(moved) < 0.05 for moved in figures["hidden_states_moved_by"])
    assert figures["texts"]["written"] == 1
    assert figures["texts"]["tokens"] > 10
    over = figures["farthest_over_float32_limit"]
    assert over["float32"]["pixels"] == over["bfloat16"]["pixels"]  # no tower sees these
    assert max(over["float32"].values()) < 1

    file = tmp_path / OUT_OF_DISTRIBUTION
    copyfile(EMBEDDED / OUT_OF_DISTRIBUTION, file)
    rounded.write_limits(file, farthest)
    known = TrainingDistribution.from_tensors(read_tensors([file])).rounded()
    assert known is not None
    for name, gaussian in known.gaussians.items():
        assert gaussian.limit == (MARGIN * farthest[name]).float()
