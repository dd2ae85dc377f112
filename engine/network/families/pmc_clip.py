"""PMC-CLIP: a ResNet-50 for single images and a BERT, and one rule by which they see a volume.

The rule is this project's: ten axial slices are encoded, and a text is as similar to the volume as
to the most similar of them (docs/families.md). Module names are those of the published weights.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.bert import BertConfig, BertModel

SIDE = 224
"""Rows and columns of an image."""

SLICES = 10
"""Of a volume: M3D, the source of the paper's row, is remembered to have taken ten."""

TEXT_TOKENS = 77
"""Texts are cut or filled up to these, and the filling is attended to, as in training."""

HEAD_WIDTH = 64

# Of the images that CLIP was trained with (Radford 2021), as the authors' transform has them
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, config={"extra": "forbid"})
class SliceEncoderConfig:
    """Sizes of the image encoder.

    Parameters
    ----------
    input_size : tuple of int
        (D, H, W) of the volume that slices are taken of.
    blocks : tuple of int
        Of the four stages.
    stem : int
        Width of the first stage's bottlenecks.
    output : int
        Width of an embedding.
    """

    input_size: tuple[int, int, int] = (128, 256, 256)
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    stem: int = 64
    output: int = 768

    @property
    def width(self) -> int:
        """Of the last feature map."""
        return 32 * self.stem

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(slices, width) of the embeddings."""
        return ((SLICES, self.output),)


@dataclass(frozen=True, config={"extra": "forbid"})
class PMCClipConfig:
    """The two encoders."""

    vision: SliceEncoderConfig
    text: InstanceOf[BertConfig]


class Bottleneck(nn.Module):
    """As in ResNet, but strides are average pools, so that no pixel is passed over.

    Parameters
    ----------
    channels, width : int
        That come in, and inside; four times as many go out.
    stride : int
    """

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or channels != 4 * width:
            shortcut = nn.Conv2d(channels, 4 * width, 1, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(self.pool(y)))
        return F.relu(y + self.downsample(self.pool(x)))


class AttentionPool(nn.Module):
    """The mean of a feature map attends to the map and to itself."""

    def __init__(self, config: SliceEncoderConfig):
        super().__init__()
        width, side = config.width, SIDE // 32
        self.heads = width // HEAD_WIDTH
        self.positional_embedding = nn.Parameter(torch.zeros(side * side + 1, width))
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, config.output)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, output)."""
        tokens = x.flatten(2).mT
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        tokens = tokens + self.positional_embedding
        q, k, v = (
            project(one).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project, one in (
                (self.q_proj, tokens[:, :1]),
                (self.k_proj, tokens),
                (self.v_proj, tokens),
            )
        )
        pooled = F.scaled_dot_product_attention(q, k, v)
        embedding: Tensor = self.c_proj(pooled.transpose(1, 2).flatten(2)[:, 0])
        return embedding


class SliceEncoder(nn.Module):
    """One image at a time: CLIP's ResNet-50 with its three convolutions and attention pool."""

    def __init__(self, config: SliceEncoderConfig):
        super().__init__()
        self.config = config
        stem = config.stem
        self.conv1 = nn.Conv2d(3, stem // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem // 2)
        self.conv2 = nn.Conv2d(stem // 2, stem // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem // 2)
        self.conv3 = nn.Conv2d(stem // 2, stem, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(stem)
        channels = stem
        for stage, count in enumerate(config.blocks):
            width = stem * 2**stage
            first = Bottleneck(channels, width, 1 if stage == 0 else 2)
            channels = 4 * width
            rest = (Bottleneck(channels, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
        self.attnpool = AttentionPool(config)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, output)."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        for stage in range(len(self.config.blocks)):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        embedding: Tensor = self.attnpool(x)
        return embedding


class PMCClip(nn.Module):
    """The pair; images are volumes in [0, 1] whose first axis is the axial slices."""

    def __init__(self, config: PMCClipConfig):
        super().__init__()
        self.config = config
        self.visual = SliceEncoder(config.vision)
        self.text_encoder = BertModel(config.text, add_pooling_layer=False)
        width = config.vision.output
        self.text_projection = nn.Parameter(torch.zeros(config.text.hidden_size, width))

    @property
    def text_tokens(self) -> int:
        return TEXT_TOKENS

    def as_read(self, text: str) -> str:
        """A text as the encoder was trained to read it."""
        return text

    def encode_image(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, slices, width), each of unit length."""
        images = torch.stack([as_image(one) for stack in volume[:, 0] for one in chosen(stack)])
        embedded = F.normalize(self.visual(images.to(volume.device)), dim=-1)
        return embedded.reshape(len(volume), SLICES, -1)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, n) -> (B, width), unit length: token 0. The mask is not looked at."""
        missing = TEXT_TOKENS - input_ids.shape[1]
        ids = F.pad(input_ids, (0, missing), value=self.config.text.pad_token_id)
        hidden = self.text_encoder(ids, torch.ones_like(ids)).last_hidden_state[:, 0]
        return F.normalize(hidden @ self.text_projection, dim=-1)


def chosen(stack: Tensor) -> Tensor:
    """Take the slices in the middle of ten equal parts; thin stacks give some twice."""
    depth = len(stack)
    return stack[[int((i + 0.5) * depth / SLICES) for i in range(SLICES)]]


def as_image(pixels: Tensor) -> Tensor:
    """Prepare one slice as the authors' transform does: (H, W) in [0, 1] -> (3, 224, 224)."""
    values = np.round(255 * pixels.detach().cpu().numpy()).astype(np.uint8)
    image = Image.fromarray(values)
    shorter = min(image.size)
    width, height = (int(SIDE * n / shorter) for n in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    grey = torch.from_numpy(np.array(image.crop((left, top, left + SIDE, top + SIDE)))) / 255
    mean, std = (torch.tensor(one)[:, None, None] for one in (MEAN, STD))
    return (grey - mean) / std


def without_weights(config: PMCClipConfig) -> PMCClip:
    """Build a pair with parameters that hold no memory, for `checkpoints.weights.assemble`."""
    with torch.device("meta"):
        pair = PMCClip(config)
    embeddings = pair.text_encoder.embeddings
    positions = torch.arange(config.text.max_position_embeddings)[None]
    embeddings.register_buffer("position_ids", positions, persistent=False)
    types = torch.zeros_like(positions)
    embeddings.register_buffer("token_type_ids", types, persistent=False)
    return pair
