"""Merlin's networks give what the authors' code printed for the same weights."""

import torch
from transformers.models.llama import LlamaConfig

from engine.checkpoints.decoding import Decoding
from engine.checkpoints.layouts.merlin import report_names
from engine.checkpoints.weights import assemble
from engine.inference.generation import Generator
from engine.network.families.merlin import Merlin, MerlinConfig
from engine.network.towers.resnet3d import ResNet3D, ResNet3DConfig
from engine.protocol import Sampling
from tests.engine.golden import assert_equals_golden, filled_tensor, uniform
from tests.engine.merlin import BLOCKS, GOLDEN, LLAMA, published_tensors

REPORT = GOLDEN["report"]


def report_model() -> Merlin:
    size = tuple(REPORT["volume_shape"][i] for i in (4, 2, 3))
    config = MerlinConfig(ResNet3DConfig(size, BLOCKS), LlamaConfig(**LLAMA))
    return assemble(Merlin.without_weights(config), report_names(published_tensors(config)))


def as_seen(seed: int, shape: list[int]) -> torch.Tensor:
    """The authors' (B, 1, X, Y, Z) as the network sees it: (B, 1, Z, X, Y)."""
    return uniform(seed, *shape).permute(0, 1, 4, 2, 3)


@torch.no_grad()
def test_a_report_is_what_the_authors_code_writes():
    model = report_model()
    volume = as_seen(REPORT["volume_seed"], REPORT["volume_shape"])
    hidden = model.encode_image(volume)
    assert_equals_golden(hidden[-1], REPORT["features"])
    image = model.image_tokens(hidden)
    assert_equals_golden(image, REPORT["adapter"])
    placeholders = [0] * model.image_token_count
    bos, *prompt = REPORT["prompt_ids_with_bos"]
    embedded = model.embed_prompt(torch.tensor([[bos, *placeholders, *prompt]]), image)
    logits = model(embedded)
    assert_equals_golden(logits, REPORT["logits"])
    last = torch.tensor(REPORT["last_logits"])
    assert (logits[0, -1] - last).abs().max() < 2e-5  # printed with five decimals
    generator = Generator(model, Decoding(), compiles=False)
    for penalty, wanted in ((1.2, "greedy_penalty_1.2"), (1.0, "greedy_plain")):
        sampling = Sampling(len(REPORT[wanted]), repetition_penalty=penalty, stop_at_loop=False)
        [text] = generator.write(generator.read([embedded[0]]), sampling)
        assert list(text.ids) == REPORT[wanted]


@torch.no_grad()
def test_all_fifty_blocks_give_what_the_authors_code_gives():
    figure = GOLDEN["vision_published"]
    tower = ResNet3D(ResNet3DConfig((32, 64, 64)))
    state = {
        name: filled_tensor(f"encode_image.i3_resnet.{name}", tuple(tensor.shape))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in tower.state_dict().items()
    }
    tower.load_state_dict(state)
    [features] = tower.eval()(as_seen(figure["volume_seed"], figure["volume_shape"]))
    assert_equals_golden(features.mT.reshape(1, 2048, 2, 2, 2), figure["layer4"])


def test_the_published_sizes_are_the_authors():
    config = ResNet3DConfig()
    with torch.device("meta"):
        tower = ResNet3D(config)
    assert sum(p.numel() for p in tower.parameters()) == GOLDEN["parameters"]["report_vision"]
    assert (config.grid, config.width) == ((10, 7, 7), 2048)
