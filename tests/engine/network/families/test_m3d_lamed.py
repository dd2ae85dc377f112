import pytest
import torch
from transformers.models.llama import LlamaConfig, LlamaForCausalLM
from transformers.models.phi3 import Phi3Config, Phi3ForCausalLM

from engine.checkpoints.decoding import Decoding
from engine.inference.generation import Generator
from engine.network.families.m3d_lamed import M3DLaMed, SpatialPooling
from engine.network.towers.vit3d import ViT3D, ViT3DConfig
from engine.protocol import Sampling
from tests.engine.golden import FIGURES, assert_equals_golden, filled, layout_digest, uniform
from tests.engine.lamed import LLM, small

LLMS = {"llama": (LlamaConfig, LlamaForCausalLM), "phi3": (Phi3Config, Phi3ForCausalLM)}


@pytest.fixture(params=LLMS)
def network(request: pytest.FixtureRequest) -> M3DLaMed:
    return small(LLMS[request.param][0](**LLM))


def test_the_perceiver_equals_its_authors() -> None:
    tower = filled(ViT3D(ViT3DConfig(layers=2)))
    perceiver = filled(SpatialPooling((8, 16, 16), 2, 768, 64))
    with torch.inference_mode():
        patches = tower(uniform(13, 1, 1, 32, 256, 256))[-1][:, 1:]
        assert_equals_golden(perceiver(patches), FIGURES["m3d_spatial_pooling"]["output"])
    assert layout_digest(perceiver) == FIGURES["m3d_spatial_pooling"]["layout"]


def test_the_perceiver_averages_cubes_in_depth_height_width_order() -> None:
    perceiver = SpatialPooling((2, 4, 6), 2, 3, 3)
    perceiver.projector = torch.nn.Identity()
    patches = torch.rand(1, 2 * 4 * 6, 3)
    cubes = patches.reshape(2, 2, 2, 3, 2, 3)  # d, h cubes, h, w cubes, w, channels
    expected = cubes.mean(dim=(0, 2, 4)).reshape(1, 6, 3)
    torch.testing.assert_close(perceiver(patches), expected)


def test_image_tokens_stand_behind_the_first_token(network: M3DLaMed) -> None:
    ids = torch.tensor([[1, 340, 340, 340, 340, 40, 41]])
    hidden_states = network.encode_image(uniform(1, 1, 1, 8, 64, 64))
    image_tokens = network.image_tokens(hidden_states)
    assert image_tokens.shape == (1, network.image_token_count, 16) == (1, 4, 16)
    prompt = network.embed_prompt(ids, image_tokens)
    embedded = network.embed_tokens(ids)
    assert torch.equal(prompt[:, 1:5], image_tokens)
    assert torch.equal(prompt[:, :1], embedded[:, :1])
    assert torch.equal(prompt[:, 5:], embedded[:, 5:])


@pytest.mark.parametrize("llm", LLMS)
def test_the_language_model_is_transformers_own(llm: str) -> None:
    config, for_causal_lm = LLMS[llm]
    network = small(config(**LLM))
    reference = for_causal_lm(config(**LLM)).eval()
    state = network.state_dict()
    reference.load_state_dict({name: state[name] for name in reference.state_dict()})
    embeddings = uniform(2, 2, 9, 16)
    torch.testing.assert_close(network(embeddings), reference(inputs_embeds=embeddings).logits)


def test_every_weight_learns(network: M3DLaMed) -> None:
    image_tokens = network.image_tokens(network.encode_image(uniform(1, 2, 1, 8, 64, 64)))
    prompt = network.embed_prompt(torch.ones(2, 6, dtype=torch.int64), image_tokens)
    network(prompt).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_the_cache_gives_what_reading_all_at_once_gives(network: M3DLaMed) -> None:
    prompt = uniform(5, 7, 16)
    generator = Generator(network, Decoding(ends=frozenset({2})))
    with torch.inference_mode():
        (tokens,) = generator.write(generator.read([prompt]), Sampling(max_new_tokens=5))
        read, expected = prompt[None], []
        for _ in range(5):
            token = network(read)[:, -1].argmax(dim=1)
            expected.append(int(token))
            read = torch.cat([read, network.embed_tokens(token[:, None])], dim=1)
    assert list(tokens.ids) == expected
