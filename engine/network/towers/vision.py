"""Which vision tower: DCFormer, M3D-LaMed's ViT3D, that of the ablation code, or Merlin's ResNet.

Each takes volumes (B, 1, D, H, W) and gives hidden states (B, tokens, width), the last one last.
"""

from __future__ import annotations

from torch import Tensor

from engine.network.towers.dcformer import DCFormer, DCFormerConfig
from engine.network.towers.resnet3d import ResNet3D, ResNet3DConfig
from engine.network.towers.vit3d import AblationViT3D, AblationViT3DConfig, ViT3D, ViT3DConfig

VisionConfig = DCFormerConfig | ViT3DConfig | AblationViT3DConfig | ResNet3DConfig
VisionTower = DCFormer | ViT3D | AblationViT3D | ResNet3D


def vision_tower(config: VisionConfig) -> VisionTower:
    """Build the vision tower of these sizes."""
    if isinstance(config, DCFormerConfig):
        return DCFormer(config)
    if isinstance(config, ResNet3DConfig):
        return ResNet3D(config)
    return ViT3D(config) if isinstance(config, ViT3DConfig) else AblationViT3D(config)


def pooled(hidden: Tensor, config: VisionConfig) -> Tensor:
    """Summarise a volume for contrastive learning.

    (B, tokens, width) -> (B, width): the mean over the tokens (paper, section 3.4), or the class
    token where the tower has one, as M3D-CLIP does.
    """
    return hidden[:, 0] if isinstance(config, ViT3DConfig) else hidden.mean(dim=1)
