from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from dicom_io.types import Volume
from dicom_io.volume.orientation import reorient
from engine.network.out_of_distribution import (
    TrainingDistribution,
    fit_distribution,
    image_features,
)

GENERATOR = torch.Generator().manual_seed(0)
MIX = torch.randn(6, 6, generator=GENERATOR)


def like_training(n: int) -> dict[str, torch.Tensor]:
    return {
        "stage4": torch.randn(n, 6, generator=GENERATOR) @ MIX + 3.0,
        "pixels": torch.rand(n, 3, generator=GENERATOR),
    }


@pytest.fixture(scope="module")
def distribution() -> TrainingDistribution:
    return fit_distribution(like_training(500), like_training(200))


def test_at_most_one_in_a_hundred_images_of_the_same_kind_is_refused(
    distribution: TrainingDistribution,
) -> None:
    fresh = like_training(1000)
    ratios = torch.stack(list(distribution.over_limit(fresh).values()))
    assert float((ratios > 1).any(dim=0).float().mean()) <= 0.01


def test_one_vector_far_off_is_enough(distribution: TrainingDistribution) -> None:
    features = like_training(1)
    assert distribution.reason_to_abstain(features) is None
    features["pixels"] = features["pixels"] + 5.0
    reason = distribution.reason_to_abstain(features)
    assert reason is not None
    assert "intensities and noise" in reason


def test_it_knows_which_directions_belong_together(distribution: TrainingDistribution) -> None:
    features = like_training(1)
    smallest = torch.linalg.svd(MIX).Vh[-1]
    features["stage4"] = torch.full((1, 6), 3.0) + 5.0 * smallest
    assert distribution.reason_to_abstain(features) is not None


def test_an_image_that_is_no_number_is_refused(distribution: TrainingDistribution) -> None:
    features = like_training(1)
    features["stage4"][0, 0] = torch.nan
    assert distribution.reason_to_abstain(features) is not None


def test_the_reason_is_one_clause(distribution: TrainingDistribution) -> None:
    features = {name: x + 50.0 for name, x in like_training(1).items()}
    reason = distribution.reason_to_abstain(features)
    assert reason is not None
    assert reason[0].islower()
    assert not reason.endswith(".")


def test_it_survives_a_trip_through_tensors(distribution: TrainingDistribution) -> None:
    again = TrainingDistribution.from_tensors(distribution.to_tensors())
    fresh = like_training(3)
    for name, ratio in distribution.over_limit(fresh).items():
        assert torch.allclose(again.over_limit(fresh)[name], ratio)


def test_a_tower_in_bfloat16_has_limits_of_its_own(distribution: TrainingDistribution) -> None:
    assert distribution.rounded() is None  # they were not measured
    farther = {name: x + 0.5 for name, x in like_training(200).items()}
    both = fit_distribution(like_training(500), like_training(200), rounded=farther)
    again = TrainingDistribution.from_tensors(both.to_tensors()).rounded()
    assert again is not None
    for name, gaussian in both.gaussians.items():
        assert again.gaussians[name].limit == gaussian.rounded_limit
        assert again.gaussians[name].limit > gaussian.limit
    assert not torch.equal(again.gaussians["pixels"].limit, both.gaussians["pixels"].limit)


def test_a_constant_feature_does_not_turn_rounding_into_distance() -> None:
    def features(n: int) -> dict[str, torch.Tensor]:
        x = torch.randn(n, 4, generator=GENERATOR)
        x[:, 0] = 1.0
        return {"stage0": x}

    distribution = fit_distribution(features(200), features(200))
    rounded = features(1)
    rounded["stage0"][0, 0] += 1e-5
    assert distribution.reason_to_abstain(rounded) is None


def test_features_describe_pixels_and_every_stage() -> None:
    volume = torch.rand(2, 1, 8, 8, 8, generator=GENERATOR)
    hidden_states = [torch.rand(2, n, c, generator=GENERATOR) for n, c in ((8, 4), (2, 6))]
    features = image_features(volume, hidden_states, None)
    assert {k: tuple(v.shape) for k, v in features.items()} == {
        "pixels": (2, 19),
        "layout": (2, 16 * 6 * 6),
        "outline": (2, 8 * 2 * 4),
        "steps": (2, 15),
        "stage0": (2, 8),
        "stage1": (2, 12),
    }
    assert torch.allclose(features["pixels"][:, :16].sum(dim=1), torch.ones(2))


def test_noise_shows_in_the_pixels() -> None:
    smooth = torch.linspace(0, 1, 8).expand(1, 1, 8, 8, 8)
    noisy = torch.rand(1, 1, 8, 8, 8, generator=GENERATOR)
    steps = [image_features(v, [], None)["pixels"][0, 16:] for v in (smooth, noisy)]
    assert (steps[1] > steps[0]).all()


def test_a_layout_is_the_same_in_every_plane_of_acquisition() -> None:
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], float)
    axial = Volume(np.random.default_rng(0).random((16, 12, 6)).astype(np.float32), affine)
    layouts = []
    for order in permutations(range(3)):
        stack = replace(axial, hu=axial.hu.transpose(order), affine_lps=affine[:, [*order, 3]])
        shown = reorient(stack, "displayed")
        volume = torch.from_numpy(shown.hu.copy())[None, None]
        layouts.append(image_features(volume, [], shown.affine_lps)["layout"])
    sra = reorient(axial, "SRA")
    volume = torch.from_numpy(sra.hu.copy())[None, None]
    layouts.append(image_features(volume, [], sra.affine_lps)["layout"])
    volume = torch.from_numpy(axial.hu)[None, None]
    assert all(
        torch.allclose(one, image_features(volume, [], None)["layout"], atol=1e-6)
        for one in layouts
    )


def test_a_body_that_is_upside_down_has_another_layout() -> None:
    volume = torch.rand(1, 1, 16, 12, 12, generator=GENERATOR)
    cells = image_features(volume, [], None)["layout"].reshape(16, 6, 6)
    turned = image_features(volume.flip(2), [], None)["layout"].reshape(16, 6, 6)
    assert torch.allclose(turned, cells.flip(0))


def test_repeated_slices_have_hardly_any_steps() -> None:
    volume = torch.rand(1, 1, 16, 8, 8, generator=GENERATOR)
    repeated = volume[:, :, ::4].repeat_interleave(4, dim=2)
    own, coarse = (image_features(v, [], None)["steps"][0] for v in (volume, repeated))
    assert coarse[2] < own[2] - 5  # the median from slice to slice
    assert torch.isfinite(image_features(volume[:, :, :1], [], None)["steps"]).all()
