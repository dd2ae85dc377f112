"""CT-ViT and CT-CHAT give what the authors' code printed for the same weights."""

import torch
from torch import Tensor

from engine.checkpoints.decoding import Decoding
from engine.inference.generation import Generator
from engine.network.families.ct_chat import CTChat, CTChatConfig, Projector
from engine.network.towers.ct_vit import log_distances
from engine.protocol import Sampling
from tests.engine.ct_chat import GOLDEN, VISION, filled_tower, llm
from tests.engine.golden import assert_equals_golden, filled, filled_tensor, token_ids, uniform

LLAVA = GOLDEN["llava"]
IMAGE = LLAVA["config"]["vocab_size"] - 1


@torch.no_grad()
def test_the_tower_names_the_same_vectors_of_the_codebook():
    golden, tower = GOLDEN["ct_vit"], filled_tower()
    volume = uniform(golden["seed"], *golden["shape"])
    patches = tower.embed_patches(2 * volume - 1)
    assert_equals_golden(patches, golden["patch_embedding"])
    bias = tower.position_bias(log_distances(4, 3, volume.device)).movedim(-1, 0)
    assert_equals_golden(bias, golden["position_bias"])
    slabs = patches.flatten(2, 3).flatten(0, 1)
    assert_equals_golden(tower.spatial(slabs, patches.shape[:4], bias[None]), golden["spatial"])
    tokens = tower.continuous(patches)
    assert_equals_golden(tokens, golden["before_quantizer"])
    assert tower.nearest(tokens.flatten(0, 1)).tolist() == golden["indices"]
    [seen] = tower(volume)
    assert torch.equal(seen.flatten(0, 1), tower.codebook[golden["indices"]])


@torch.no_grad()
def test_the_projector_pools_as_the_authors_does():
    golden = GOLDEN["projector"]
    projector = filled(Projector(golden["mm_hidden_size"], golden["hidden_size"], 256))
    tokens = features_of(golden["seed"], *golden["shape"])
    assert_equals_golden(projector.get_submodule("attn_pool")(tokens), golden["pooled"])
    assert_equals_golden(projector(tokens), golden["output"])


def features_of(seed: int, *shape: int) -> Tensor:
    return 2 * uniform(seed, *shape) - 1


@torch.no_grad()
def test_logits_and_greedy_tokens_are_the_authors():
    model = CTChat(CTChatConfig(VISION, llm(), IMAGE)).eval()
    state = model.state_dict()
    for name, value in state.items():
        if "vision_tower" not in name:
            state[name] = filled_tensor(name, tuple(value.shape))
    state["model.embed_tokens.weight"] *= 8
    model.load_state_dict(state)
    ids, at = token_ids(LLAVA["ids_seed"], 300, 1, 30), LLAVA["image_position"]
    assert IMAGE not in ids[0, :at].tolist() + ids[0, at + 1 :].tolist()
    places = torch.full((1, 256), IMAGE)
    features = features_of(LLAVA["features_seed"], *LLAVA["features_shape"]).flatten(1, 3)
    prompt = torch.cat([ids[:, :at], places, ids[:, at + 1 :]], dim=1)
    embedded = model.embed_prompt(prompt, model.image_tokens([features]))
    assert_equals_golden(embedded, LLAVA["inputs_embeds"])
    logits = model(embedded)
    assert_equals_golden(logits, LLAVA["logits"])
    sampling = Sampling(len(LLAVA["greedy_tokens"]), stop_at_loop=False)
    generator = Generator(model, Decoding())
    [text] = generator.write(generator.read([embedded[0]]), sampling)
    assert list(text.ids) == LLAVA["greedy_tokens"]


def test_the_published_projector_has_the_authors_number_of_parameters():
    with torch.device("meta"):
        projector = Projector(512, 4096, 256)
    assert sum(p.numel() for p in projector.parameters()) == GOLDEN["projector_parameters"]
