"""The inference form of DCFormer: the same function, arranged for speed.

Five arrangements. BatchNorm and layer scale are folded into the weights beside them. Maps lie as
(B, D, H, W, C), so that a linear map of the channels is one matrix product and tokens need no
permutation. The stem is linear: parallel kernels share their centre, and its first two layers
become one. It runs plane by plane, and an MLP in pieces, so that what they write is still in the
cache when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.network.towers.dcformer import Block, DCFormer, DecomposedConv, PatchStem

Offset = tuple[int, int, int]
"""Along (D, H, W)."""

Window = tuple[Tensor | None, Tensor, Tensor | None]
"""A plane between the one before and the one after."""

STRIDE = 4
HIDDEN_VALUES = 2**18
"""How many values of an MLP's hidden layer one thread works on: a megabyte, and so in its cache."""


def has_inference_form(model: nn.Module) -> bool:
    """Tell whether a model has a tower that `use_inference_form` would replace."""
    return any(isinstance(module, DCFormer) for module in model.modules())


def use_inference_form(model: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Put the inference form in the place of every DCFormer inside a model, which is changed.

    Parameters
    ----------
    model : nn.Module
    dtype : torch.dtype
        What the forms compute in.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, DCFormer):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, InferenceForm(module, dtype))


class InferenceForm(nn.Module):
    """A vision tower with the outputs of the trained one, for inference alone.

    Parameters
    ----------
    tower : DCFormer
        Stays as it is. The statistics of its BatchNorms are those it has now.
    dtype : torch.dtype
        What it computes in, once weights are folded in the tower's own type.
    """

    @torch.no_grad()
    def __init__(self, tower: DCFormer, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.dtype, self.lag = dtype, tower.lag
        stem, *stages = tower.encoder.children()
        self.stem = MergedPatchStem(stem) if isinstance(stem, PatchStem) else MergedStem(stem)
        self.stages = nn.ModuleList(
            nn.Sequential(*(FoldedBlock(cast(Block, block)) for block in stage.children()))
            for stage in stages
        )
        if dtype != torch.float32:
            self.to(dtype)

    def forward(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> five hidden states (B, tokens, C) in float32; see `DCFormer`."""
        maps = [self.stem(volume.to(self.dtype))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return [x.flatten(1, 3).float() for x in maps]

    def to_grid(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> the map of stage 1 in float32, (B, D/8, H/8, W/8, C)."""
        x: Tensor = self.stages[0](self.stem(volume.to(self.dtype)))
        return x.float()

    def from_grid(self, x: Tensor) -> list[Tensor]:
        """Map of stage 1 -> the hidden states of the stages after it, (B, tokens, C)."""
        x, hidden_states = x.to(self.dtype), []
        for stage in list(self.stages)[1:]:
            x = stage(x)
            hidden_states.append(x.flatten(1, 3).float())
        return hidden_states


class MergedPatchStem(nn.Module):
    """Linear map and BatchNorm as one matrix product over the cubes."""

    weight: Tensor
    bias: Tensor

    def __init__(self, stem: PatchStem):
        super().__init__()
        scale, shift = _affine(stem.norm)
        # The trained stem reads a cube in the order H, W, D
        cube = stem.linear.weight.view(-1, *(STRIDE,) * 3).permute(3, 1, 2, 0)
        self.register_buffer("weight", cube.flatten(0, 2) * scale)
        self.register_buffer("bias", stem.linear.bias * scale + shift)

    def forward(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, D/4, H/4, W/4, C)."""
        b, _, d, h, w = volume.shape
        s = STRIDE
        cubes = volume.reshape(b, d // s, s, h // s, s, w // s, s).permute(0, 1, 3, 5, 2, 4, 6)
        return F.linear(cubes.flatten(4), self.weight.T, self.bias)


class MergedStem(nn.Module):
    """The decomposed stem, plane by plane along the depth.

    A plane is a matrix of (rows, C). Its rows are the positions of all lines of all images; an
    image lies between two lines of zeros, and a line ends in one zero. So a neighbour's rows are
    the rows shifted, and every convolution finds its padding.
    """

    def __init__(self, stem: nn.Module):
        super().__init__()
        convolutions = cast(Iterable[DecomposedConv], stem.get_submodule("0").children())
        strided, *refinements = map(_merged, convolutions)
        weights, bias = strided
        self.offsets, self.channels = list(weights), len(bias)
        read = torch.cat([*weights.values(), bias[None]])
        as_it_is = {(0, 0, 0): torch.eye(len(bias)).to(bias)}, torch.zeros_like(bias)
        (cross, bias), *others = refinements or [as_it_is]
        layers = [({offset: read @ weight for offset, weight in cross.items()}, bias), *others]
        self.layers = nn.ModuleList(PlaneConv(*layer) for layer in layers)

    def forward(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, D/4, H/4, W/4, C)."""
        taps = self._read(volume)
        depth, _, batch, lines, length = taps.shape
        planes: Iterator[Tensor] = iter(taps.flatten(2).mT)
        for layer in self.layers:
            planes = layer(planes, (batch, lines, length))
        out = volume.new_empty(batch, depth, lines - 2, length - 1, self.channels)
        for d, plane in enumerate(planes):
            out[:, d] = plane.view(batch, lines, length, self.channels)[:, 1:-1, :-1]
        return out

    def _read(self, volume: Tensor) -> Tensor:
        """Gather what the strided kernels read of each position: voxels, and 1 for their bias."""
        batch, _, *size = volume.shape
        d, h, w = (-(-n // STRIDE) for n in size)
        taps = volume.new_zeros(d, len(self.offsets) + 1, batch, h + 2, w + 1)
        inside = taps[..., 1:-1, :-1].permute(1, 2, 0, 3, 4)
        for tap, offset in zip(inside, self.offsets, strict=False):
            positions, voxels = zip(*map(_reach, size, offset), strict=True)
            tap[:, *positions] = volume[:, 0, *voxels]
        inside[-1] = 1
        return taps


class PlaneConv(nn.Module):
    """A convolution that reaches one plane, line and position far, on a stream of planes."""

    weights: Tensor
    bias: Tensor

    def __init__(self, weights: dict[Offset, Tensor], bias: Tensor):
        super().__init__()
        self.offsets = list(weights)
        self.register_buffer("weights", torch.stack(list(weights.values())))
        self.register_buffer("bias", bias)

    def forward(self, planes: Iterable[Tensor], grid: tuple[int, int, int]) -> Iterator[Tensor]:
        """Planes (rows, C) of (images, lines, positions) -> as many planes (rows, C')."""
        length = grid[-1]
        for window in _with_neighbours(planes):
            rows = len(window[1])
            out = self.bias.expand(rows, -1).contiguous()
            inner = out[length : rows - length]
            for (d, h, w), weight in zip(self.offsets, self.weights, strict=True):
                if (plane := window[1 + d]) is not None:
                    shift = length * (1 + h) + w
                    inner.addmm_(plane[shift : shift + len(inner)], weight)
            padded = out.view(*grid, -1)
            padded[:, 0] = padded[:, -1] = padded[:, :, -1] = 0
            yield out


class FoldedBlock(nn.Module):
    """A block of the trained form, on maps (B, D, H, W, C)."""

    project: Tensor | None
    along_d: Tensor
    along_h: Tensor
    along_w: Tensor
    bias: Tensor

    def __init__(self, block: Block):
        super().__init__()
        halves = isinstance(block.proj, nn.Conv3d)
        project = cast(Tensor, block.proj.weight).flatten(1).clone() if halves else None
        self.register_buffer("project", project)
        kernels, bias = _folded(block.dwconv)
        for axis, kernel in zip("hwd", kernels, strict=True):
            self.register_buffer(f"along_{axis}", kernel)
        self.register_buffer("bias", bias)
        self.mlp = FoldedMLP(block)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, C) -> (B, D/2, H/2, W/2, C') where it halves, else the same shape.

        Without gradients `x` itself is changed and returned, unless it halves.
        """
        if self.project is not None:
            pooled = F.max_pool3d(x.permute(0, 4, 1, 2, 3), 3, 2, 1).permute(0, 2, 3, 4, 1)
            x = F.linear(pooled, self.project)
        return self.mlp.added_to(x, self._convolve(x))

    def _convolve(self, x: Tensor) -> Tensor:
        """Sum the depthwise convolutions, each as a 2D one: its axis, and the others as one."""
        b, d, h, w, c = x.shape
        volumes, planes = x.view(b, d, h * w, c), x.view(b * d, h, w, c)
        out = _depthwise(volumes, self.along_d[..., None], self.bias).reshape(x.shape)
        out += _depthwise(planes, self.along_h[..., None]).reshape(x.shape)
        out += _depthwise(planes, self.along_w[..., None, :]).reshape(x.shape)
        return out


class FoldedMLP(nn.Module):
    """Linear, GELU, Linear with the layer scale in it."""

    up: Tensor
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor

    def __init__(self, block: Block):
        super().__init__()
        up, _, _, down = (cast(nn.Linear, layer) for layer in block.mlp.mlp)
        self.register_buffer("up", up.weight.T.contiguous())
        self.register_buffer("up_bias", up.bias.clone())
        self.register_buffer("down", (down.weight * block.scale[:, None]).T.contiguous())
        self.register_buffer("down_bias", down.bias * block.scale)

    def added_to(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the MLP of `y` to `x`, both (..., C); in place where no gradient is asked for."""
        if torch.is_grad_enabled():
            hidden = F.gelu(y @ self.up + self.up_bias)
            return x + hidden @ self.down + self.down_bias
        rows = max(1, HIDDEN_VALUES * torch.get_num_threads() // len(self.up_bias))
        pieces = (torch.split(t.flatten(0, -2), rows) for t in (x, y))
        for out, piece in zip(*pieces, strict=True):
            hidden = torch.addmm(self.up_bias, piece, self.up)
            torch.ops.aten.gelu_(hidden)
            out.add_(self.down_bias).addmm_(hidden, self.down)
        return x


def _depthwise(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, I, J, C) with kernels (C, 1, k, 1) or (C, 1, 1, k) -> the same shape."""
    padding = tuple(k // 2 for k in kernel.shape[2:])
    channels_first = x.permute(0, 3, 1, 2)
    out = F.conv2d(channels_first, kernel, bias, padding=padding, groups=len(kernel))
    return out.permute(0, 2, 3, 1)


def _affine(norm: nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """What a BatchNorm multiplies by and adds, once its statistics stand still."""
    variance, mean = cast(Tensor, norm.running_var), cast(Tensor, norm.running_mean)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return scale, norm.bias - mean * scale


def _folded(conv: DecomposedConv) -> tuple[list[Tensor], Tensor]:
    """Kernels (C', C, k) along H, W and D, and one bias, with each BatchNorm in them."""
    kernels, bias = [], torch.zeros(())
    for along in (conv.c1, conv.c2, conv.c3):
        kernel, norm = cast(nn.Conv3d, along[0]), cast(nn.BatchNorm3d, along[1])
        scale, shift = _affine(norm)
        kernels.append(kernel.weight.flatten(2) * scale[:, None, None])
        bias = bias + shift + cast(Tensor, kernel.bias) * scale
    return kernels, bias


def _merged(conv: DecomposedConv) -> tuple[dict[Offset, Tensor], Tensor]:
    """The parallel kernels as one: a matrix (C, C') for every offset, and one bias."""
    kernels, bias = _folded(conv)
    weights: dict[Offset, Tensor] = {}
    for axis, kernel in zip((1, 2, 0), kernels, strict=True):
        for k, matrix in enumerate(kernel.unbind(2), start=-(kernel.shape[2] // 2)):
            offset = cast(Offset, tuple(k if i == axis else 0 for i in range(3)))
            weights[offset] = weights.get(offset, 0) + matrix.T
    return weights, bias


def _reach(size: int, offset: int) -> tuple[slice, slice]:
    """Positions that read inside an axis at an offset from STRIDE times themselves, and voxels."""
    first = -(offset // STRIDE) if offset < 0 else 0
    last = min(-(-size // STRIDE), -((offset - size) // STRIDE))
    return slice(first, last), slice(STRIDE * first + offset, STRIDE * last + offset, STRIDE)


def _with_neighbours(planes: Iterable[Tensor]) -> Iterator[Window]:
    """Yield the window of every plane; None stands beyond the ends."""
    before, here = None, None
    for after in chain(planes, (None,)):
        if here is not None:
            yield before, here, after
        before, here = here, after
