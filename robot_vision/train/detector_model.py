"""The detector's network: a small CSP backbone, a PAN neck and decoupled anchor-free heads.

Papers: CSPNet (Wang et al., arXiv 1911.11929) for the blocks, spatial pyramid pooling (He et al., arXiv 1406.4729),
PANet (Liu et al., arXiv 1803.01534) for the neck, feature pyramids (Lin et al., arXiv 1612.03144) for its finest level,
FCOS (Tian et al., arXiv 1904.01355) and YOLOX (Ge et al.,
arXiv 2107.08430) for the decoupled anchor-free heads, and Generalized Focal Loss (Li et al., arXiv 2006.04388) for box
sides as distributions over whole strides.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_vision.train.detector_settings import STRIDES

SIDE_BINS = 12
"""A box side lies 0 … SIDE_BINS - 1 strides from its anchor point, as the mean of a distribution over the bins."""
_PRIOR_PROBABILITY = 0.01


class RawPredictions(NamedTuple):
    """What the heads say, before decoding; N anchor points over all levels.

    Attributes:
        class_logits: (B, N, C).
        side_logits: (B, N, 4, SIDE_BINS) in the order left, top, right, bottom.
        points_xy: (N, 2) anchor points in input pixels.
        strides: (N, 1) in input pixels.
    """

    class_logits: Tensor
    side_logits: Tensor
    points_xy: Tensor
    strides: Tensor


def anchor_points(sizes_hw: list[tuple[int, int]], strides: tuple[int, ...] = STRIDES) -> tuple[Tensor, Tensor]:
    """Centres of all cells of all levels.

    Args:
        sizes_hw: Height and width of each level in cells.
        strides: Input pixels per cell of each level.

    Returns:
        (N, 2) float32 points x, y in input pixels, row by row, and (N, 1) float32 strides.
    """
    points, steps = [], []
    for (height, width), stride in zip(sizes_hw, strides, strict=True):
        ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        points.append((torch.stack([xs, ys], dim=-1).reshape(-1, 2) + 0.5) * stride)
        steps.append(torch.full((height * width, 1), float(stride)))
    return torch.cat(points), torch.cat(steps)


def decode_sides(side_logits: Tensor) -> Tensor:
    """Expected distance of each side from the anchor point.

    Args:
        side_logits: (..., 4, SIDE_BINS).

    Returns:
        (..., 4) distances in strides.
    """
    bins = torch.arange(side_logits.shape[-1], dtype=side_logits.dtype, device=side_logits.device)
    return (side_logits.softmax(dim=-1) * bins).sum(dim=-1)


def decode_boxes(sides: Tensor, points_xy: Tensor, strides: Tensor) -> Tensor:
    """Corners from side distances.

    Args:
        sides: (..., N, 4) distances left, top, right, bottom in strides.
        points_xy: (N, 2) in pixels.
        strides: (N, 1) in pixels.

    Returns:
        (..., N, 4) boxes x1, y1, x2, y2 in pixels.
    """
    pixels = sides * strides
    return torch.cat([points_xy - pixels[..., :2], points_xy + pixels[..., 2:]], dim=-1)


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation, ReLU: a third cheaper to train than SiLU, and fused by ONNX Runtime."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class CspBlock(nn.Module):
    """Cross-stage partial block: half the channels skip the residual units, a 1×1 convolution joins both halves."""

    def __init__(self, inputs: int, outputs: int, depth: int, shortcut: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.split = ConvUnit(inputs, 2 * half)
        self.units = nn.ModuleList(
            nn.Sequential(ConvUnit(half, half, 3), ConvUnit(half, half, 3)) for _ in range(depth)
        )
        self.join = ConvUnit(2 * half, outputs)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        skipped, worked = self.split(x).chunk(2, dim=1)
        for unit in self.units:
            worked = worked + unit(worked) if self.shortcut else unit(worked)
        return self.join(torch.cat([skipped, worked], dim=1))


class PyramidPooling(nn.Module):
    """Three chained 5×5 max-pools, so that the coarsest cells see the whole image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvUnit(channels, half)
        self.join = ConvUnit(4 * half, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W), same shape out."""
        scales = [self.reduce(x)]
        for _ in range(3):
            scales.append(functional.max_pool2d(scales[-1], 5, stride=1, padding=2))
        return self.join(torch.cat(scales, dim=1))


class Backbone(nn.Module):
    """Image to features at strides 4, 8, 16 and 32."""

    def __init__(self, widths: tuple[int, int, int, int, int]) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = widths
        self.stem = nn.Sequential(ConvUnit(3, w2, 3, 2), ConvUnit(w2, w4, 3, 2), CspBlock(w4, w4, 1))
        self.stage8 = nn.Sequential(ConvUnit(w4, w8, 3, 2), CspBlock(w8, w8, 2))
        self.stage16 = nn.Sequential(ConvUnit(w8, w16, 3, 2), CspBlock(w16, w16, 2))
        self.stage32 = nn.Sequential(ConvUnit(w16, w32, 3, 2), CspBlock(w32, w32, 1), PyramidPooling(w32))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 3, H, W) to four feature maps, finest first."""
        finest = self.stem(images)
        fine = self.stage8(finest)
        middle = self.stage16(fine)
        return finest, fine, middle, self.stage32(middle)


class Neck(nn.Module):
    """Path aggregation: coarse context flows down to the fine levels and fine detail back up.

    The way back up starts at stride 8: from the finest level it would cost more than that level itself.
    """

    def __init__(self, inputs: tuple[int, int, int, int], finest_width: int, width: int) -> None:
        super().__init__()
        self.lateral32 = ConvUnit(inputs[3], width)
        self.down16 = CspBlock(inputs[2] + width, width, 1, shortcut=False)
        self.down8 = CspBlock(inputs[1] + width, width, 1, shortcut=False)
        self.lateral8 = ConvUnit(width, finest_width)
        self.down4 = CspBlock(inputs[0] + finest_width, finest_width, 1, shortcut=False)
        self.shrink16 = ConvUnit(width, width, 3, 2)
        self.up16 = CspBlock(2 * width, width, 1, shortcut=False)
        self.shrink32 = ConvUnit(width, width, 3, 2)
        self.up32 = CspBlock(2 * width, width, 1, shortcut=False)

    def forward(self, features: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Backbone features in; out the finest map of `finest_width` channels and three of `width`."""
        finest, fine, middle, coarse = features
        coarse = self.lateral32(coarse)
        middle = self.down16(torch.cat([functional.interpolate(coarse, scale_factor=2.0), middle], dim=1))
        fine = self.down8(torch.cat([functional.interpolate(middle, scale_factor=2.0), fine], dim=1))
        context = functional.interpolate(self.lateral8(fine), scale_factor=2.0)
        finest = self.down4(torch.cat([context, finest], dim=1))
        middle = self.up16(torch.cat([self.shrink16(fine), middle], dim=1))
        coarse = self.up32(torch.cat([self.shrink32(middle), coarse], dim=1))
        return finest, fine, middle, coarse


class Head(nn.Module):
    """Class scores and box sides of one level, on separate branches."""

    def __init__(self, inputs: int, width: int, class_count: int, stride: int) -> None:
        super().__init__()
        self.classes = nn.Sequential(ConvUnit(inputs, width, 3), nn.Conv2d(width, class_count, 1))
        self.sides = nn.Sequential(ConvUnit(inputs, width, 3), nn.Conv2d(width, 4 * SIDE_BINS, 1))
        # The focal-loss prior (arXiv 1708.02002): nearly every point starts as background, more so at fine strides.
        prior = _PRIOR_PROBABILITY * (stride / STRIDES[-1]) ** 2
        nn.init.constant_(self.classes[-1].bias, -math.log((1 - prior) / prior))
        nn.init.zeros_(self.sides[-1].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, H, W) to (B, C, H, W) and (B, 4 * SIDE_BINS, H, W) logits."""
        return self.classes(x), self.sides(x)


class YoloNetwork(nn.Module):
    """The whole detector, fully convolutional: any input whose sides are multiples of 32."""

    def __init__(
        self,
        class_count: int,
        widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128),
        finest_width: int = 32,
        neck_width: int = 64,
        head_width: int = 48,
    ) -> None:
        super().__init__()
        self.class_count = class_count
        self.backbone = Backbone(widths)
        self.neck = Neck((widths[1], widths[2], widths[3], widths[4]), finest_width, neck_width)
        finest, *coarser = STRIDES
        heads = [Head(finest_width, head_width // 2, class_count, finest)]
        heads += [Head(neck_width, head_width, class_count, stride) for stride in coarser]
        self.heads = nn.ModuleList(heads)

    def forward(self, images: Tensor) -> RawPredictions:
        """Raw predictions for (B, 3, H, W) float RGB in [0, 1]."""
        levels = self.neck(self.backbone(images))
        outputs = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        batch = images.shape[0]
        # In channels-last memory, which training uses, a level's cells are already in this order.
        class_logits = torch.cat([c.permute(0, 2, 3, 1).flatten(1, 2) for c, _ in outputs], dim=1)
        side_logits = torch.cat([s.permute(0, 2, 3, 1).flatten(1, 2) for _, s in outputs], dim=1)
        points_xy, strides = anchor_points([(level.shape[2], level.shape[3]) for level in levels])
        return RawPredictions(
            class_logits,
            side_logits.reshape(batch, -1, 4, SIDE_BINS),
            points_xy.to(images.device),
            strides.to(images.device),
        )


class DeployedDetector(nn.Module):
    """The network with decoding, as it is exported: one output in the layout that the YOLOv8 family uses."""

    def __init__(self, network: YoloNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float RGB in [0, 1] to (B, 4 + C, N): cx, cy, w, h in input pixels, then class scores."""
        raw = self.network(images)
        sides = decode_sides(raw.side_logits) * raw.strides
        before, after = sides[..., :2], sides[..., 2:]
        centres = raw.points_xy + (after - before) / 2
        return torch.cat([centres, before + after, raw.class_logits.sigmoid()], dim=2).transpose(1, 2)
