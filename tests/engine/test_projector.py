import torch

from engine.projector import PUBLISHED, DualStreamMixer, ProjectorConfig, StreamConfig
from tests.engine.golden import FIGURES, assert_equals_golden, filled, layout_digest, uniform

GOLDEN = ProjectorConfig(PUBLISHED.low, PUBLISHED.high, width=256)


def test_image_tokens_equal_the_authors() -> None:
    mixer = filled(DualStreamMixer(GOLDEN))
    output = mixer(uniform(8, 2, 256, 384), uniform(9, 2, 32, 768))
    assert_equals_golden(output, FIGURES["mixer"]["output"])


def test_names_and_shapes_are_the_published_ones() -> None:
    assert layout_digest(DualStreamMixer(GOLDEN)) == FIGURES["mixer"]["layout"]


def test_the_published_projector_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        mixer = DualStreamMixer(PUBLISHED)
    assert round(sum(p.numel() for p in mixer.parameters()) / 1e6, 2) == 47.22


def test_low_tokens_come_first() -> None:
    config = ProjectorConfig(StreamConfig(6, 4, (3, 2)), StreamConfig(5, 4, (4, 3)), width=8)
    mixer = DualStreamMixer(config)
    low, high = torch.rand(1, 6, 4), torch.rand(1, 5, 4)
    output = mixer(low, high)
    assert output.shape == (1, config.image_tokens, 8)
    assert torch.equal(output[:, :2], mixer.low_mixer(low))


def test_one_layer_reaches_the_width_at_once() -> None:
    stream = StreamConfig(6, 4, (2,))
    mixer = DualStreamMixer(ProjectorConfig(stream, stream, width=8))
    assert mixer(torch.rand(1, 6, 4), torch.rand(1, 6, 4)).shape == (1, 4, 8)
