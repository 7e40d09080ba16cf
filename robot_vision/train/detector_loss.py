"""Which anchor point answers for which object, and what a prediction costs.

Task-aligned assignment after TOOD (Feng et al., arXiv 2108.07755); varifocal loss after VarifocalNet (Zhang et al.,
arXiv 2008.13367); generalised IoU (Rezatofighi et al., arXiv 1902.09630); distribution focal loss after Generalized
Focal Loss (Li et al., arXiv 2006.04388). The weights of the three terms are those of PP-YOLOE (Xu et al.,
arXiv 2203.16250).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from robot_vision.train.detector_model import SIDE_BINS, RawPredictions, decode_boxes, decode_sides

CLASS_WEIGHT, IOU_WEIGHT, SIDE_WEIGHT = 1.0, 2.5, 0.5
ALIGN_SCORE_POWER, ALIGN_IOU_POWER = 1.0, 6.0
CANDIDATES = 13
NEGATIVE_WEIGHT, NEGATIVE_POWER = 0.75, 2.0
IGNORED_OVERLAP = 0.5
"""A negative prediction with more than this share of its area in an ignore region costs nothing."""


class Targets(NamedTuple):
    """Ground truth of a batch, padded to equal length.

    Attributes:
        boxes_xyxy: (B, M, 4) in input pixels; padding is zero.
        labels: (B, M) int64 class ids.
        valid: (B, M) bool, False for padding.
        ignored_xyxy: (B, K, 4) regions where nothing is known; padding is zero.
    """

    boxes_xyxy: Tensor
    labels: Tensor
    valid: Tensor
    ignored_xyxy: Tensor


class Assignment(NamedTuple):
    """What each anchor point shall say.

    Attributes:
        object_index: (B, N) int64, row in `Targets`; 0 where not positive.
        positive: (B, N) bool.
        quality: (B, N) float, target score of the object's class; 0 where not positive.
    """

    object_index: Tensor
    positive: Tensor
    quality: Tensor


class LossTerms(NamedTuple):
    """The total and its weighted terms, each a scalar tensor."""

    total: Tensor
    classes: Tensor
    iou: Tensor
    sides: Tensor


def paired_iou(first_xyxy: Tensor, second_xyxy: Tensor, generalised: bool = False) -> Tensor:
    """IoU, or generalised IoU, of boxes that correspond.

    Args:
        first_xyxy: (..., 4), broadcast against `second_xyxy`.
        second_xyxy: (..., 4).
        generalised: Subtract the share of the enclosing box that neither covers.

    Returns:
        (...) values in [0, 1], or in (-1, 1] when generalised.
    """
    overlap = torch.minimum(first_xyxy[..., 2:], second_xyxy[..., 2:]) - torch.maximum(
        first_xyxy[..., :2], second_xyxy[..., :2]
    )
    intersection = overlap.clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1) for boxes in (first_xyxy, second_xyxy)]
    union = (areas[0] + areas[1] - intersection).clamp(min=1e-6)
    iou = intersection / union
    if not generalised:
        return iou
    enclosing = torch.maximum(first_xyxy[..., 2:], second_xyxy[..., 2:]) - torch.minimum(
        first_xyxy[..., :2], second_xyxy[..., :2]
    )
    hull = enclosing.clamp(min=0).prod(dim=-1).clamp(min=1e-6)
    return iou - (hull - union) / hull


def points_inside(points_xy: Tensor, strides: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """Which anchor points may answer for which object.

    An object narrower than the finest cells can lie between their centres; there it counts as one cell wide.

    Args:
        points_xy: (N, 2) in pixels.
        strides: (N, 1) in pixels.
        boxes_xyxy: (K, 4).

    Returns:
        (K, N) bool.
    """
    finest = strides.min()
    least = torch.where(strides == finest, finest / 2, 0.0)[:, 0]
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    half = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) / 2
    inside = [
        (points_xy[:, axis] - centres[:, axis, None]).abs() <= torch.maximum(half[:, axis, None], least)
        for axis in (0, 1)
    ]
    return inside[0] & inside[1]


@torch.no_grad()
def assign(scores: Tensor, boxes_xyxy: Tensor, points_xy: Tensor, strides: Tensor, targets: Targets) -> Assignment:
    """Task-aligned assignment: an object's points are those that both classify and locate it best.

    With s the score of the object's class and u the IoU, a point's alignment is t = s^α · u^β. Each object takes its
    `CANDIDATES` best points inside it; a point wanted by several objects goes to the one that it overlaps most. The
    target score is t scaled so that the best point of an object gets that object's best IoU.

    Args:
        scores: (B, N, C) in [0, 1].
        boxes_xyxy: (B, N, 4) decoded predictions in pixels.
        points_xy: (N, 2) in pixels.
        strides: (N, 1) in pixels.
        targets: Ground truth with M objects at most.

    Returns:
        What each of the N points shall say.
    """
    batch, count, _ = scores.shape
    image, row = targets.valid.nonzero(as_tuple=True)
    labels, truth_xyxy = targets.labels[image, row], targets.boxes_xyxy[image, row]
    # Few points lie inside an object: what costs more than a comparison is worked out for these pairs only.
    inside = points_inside(points_xy, strides, truth_xyxy)
    item, point = inside.nonzero(as_tuple=True)
    iou = paired_iou(truth_xyxy[item], boxes_xyxy[image[item], point])
    alignment = scores[image[item], point, labels[item]].pow(ALIGN_SCORE_POWER) * iou.pow(ALIGN_IOU_POWER)
    # Outside stays below every real alignment, so that a point there is never preferred to one inside with alignment 0.
    ranked = torch.full(inside.shape, -1.0, device=scores.device).index_put_((item, point), alignment)
    ranking = ranked.topk(min(CANDIDATES, count), dim=1)
    item, place = (ranking.values >= 0).nonzero(as_tuple=True)
    alignment, point = ranking.values[item, place], ranking.indices[item, place]
    iou = paired_iou(truth_xyxy[item], boxes_xyxy[image[item], point])

    cell = image[item] * count + point
    best_iou = torch.zeros(batch * count, device=scores.device).scatter_reduce(0, cell, iou, "amax")
    claims = iou == best_iou[cell]
    item, cell, iou, alignment = item[claims], cell[claims], iou[claims], alignment[claims]
    owner = torch.full((batch * count,), len(image), device=cell.device).scatter_reduce(0, cell, item, "amin")
    won = owner[cell] == item
    item, cell, iou, alignment = item[won], cell[won], iou[won], alignment[won]

    nothing = torch.zeros(len(image), device=scores.device)
    scale = nothing.scatter_reduce(0, item, iou, "amax") / nothing.scatter_reduce(0, item, alignment, "amax").clamp(
        min=1e-12
    )
    object_index = torch.zeros(batch * count, dtype=torch.int64, device=cell.device).index_put_((cell,), row[item])
    quality = torch.zeros(batch * count, device=scores.device).index_put_((cell,), alignment * scale[item])
    positive = (owner < len(image)).reshape(batch, count)
    return Assignment(object_index.reshape(batch, count), positive, quality.reshape(batch, count))


def ignored_share(boxes_xyxy: Tensor, ignored_xyxy: Tensor) -> Tensor:
    """Largest share of each box's area that lies in one ignore region.

    Args:
        boxes_xyxy: (B, N, 4).
        ignored_xyxy: (B, K, 4).

    Returns:
        (B, N) in [0, 1]; zeros when K is 0.
    """
    if ignored_xyxy.shape[1] == 0:
        return torch.zeros(boxes_xyxy.shape[:2], device=boxes_xyxy.device)
    top_left = torch.maximum(boxes_xyxy[:, :, None, :2], ignored_xyxy[:, None, :, :2])
    bottom_right = torch.minimum(boxes_xyxy[:, :, None, 2:], ignored_xyxy[:, None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    overlap = sides[..., 0] * sides[..., 1]
    area = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=0).prod(dim=-1)
    return overlap.amax(dim=2) / area.clamp(min=1e-6)


def varifocal(logits: Tensor, qualities: Tensor) -> Tensor:
    """Varifocal loss: positives weigh as their target, negatives as the power of their own score.

    Args:
        logits: Any shape.
        qualities: Same shape, target scores; 0 marks a negative.

    Returns:
        Same shape, unreduced.
    """
    scores = logits.detach().sigmoid()
    weight = torch.where(qualities > 0, qualities, NEGATIVE_WEIGHT * scores.pow(NEGATIVE_POWER))
    return weight * functional.binary_cross_entropy_with_logits(logits, qualities, reduction="none")


def side_loss(side_logits: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss: the two bins around the true distance share the probability.

    Args:
        side_logits: (P, 4, SIDE_BINS).
        distances: (P, 4) in strides.

    Returns:
        (P,) mean over the four sides.
    """
    distances = distances.clamp(0, SIDE_BINS - 1 - 1e-3)
    lower = distances.floor()
    upper_share = distances - lower
    log_probability = side_logits.log_softmax(dim=-1)
    below = log_probability.gather(-1, lower.long()[..., None])[..., 0]
    above = log_probability.gather(-1, lower.long()[..., None] + 1)[..., 0]
    return -(below * (1 - upper_share) + above * upper_share).mean(dim=-1)


def detector_loss(raw: RawPredictions, targets: Targets) -> LossTerms:
    """Loss of one batch, normalised by the sum of the target scores.

    Args:
        raw: The network's output in float32.
        targets: Ground truth of the same B images.

    Returns:
        The total and its terms.
    """
    with torch.no_grad():
        boxes_xyxy = decode_boxes(decode_sides(raw.side_logits), raw.points_xy, raw.strides)
        assigned = assign(raw.class_logits.sigmoid(), boxes_xyxy, raw.points_xy, raw.strides, targets)
    normaliser = assigned.quality.sum().clamp(min=1.0)
    positive = assigned.positive

    qualities = torch.zeros_like(raw.class_logits)
    batch_index, point_index = positive.nonzero(as_tuple=True)
    object_index = assigned.object_index[positive]
    weight = assigned.quality[positive]
    qualities[batch_index, point_index, targets.labels[batch_index, object_index]] = weight
    counts = positive | (ignored_share(boxes_xyxy, targets.ignored_xyxy) <= IGNORED_OVERLAP)
    class_loss = (varifocal(raw.class_logits, qualities) * counts[..., None]).sum() / normaliser

    wanted = targets.boxes_xyxy[batch_index, object_index]
    points, strides = raw.points_xy[point_index], raw.strides[point_index]
    side_logits = raw.side_logits[positive]
    giou = paired_iou(decode_boxes(decode_sides(side_logits), points, strides), wanted, generalised=True)
    distances = torch.cat([points - wanted[:, :2], wanted[:, 2:] - points], dim=1) / strides
    iou_loss = ((1 - giou) * weight).sum() / normaliser
    sides = (side_loss(side_logits, distances) * weight).sum() / normaliser

    terms = (CLASS_WEIGHT * class_loss, IOU_WEIGHT * iou_loss, SIDE_WEIGHT * sides)
    return LossTerms(sum(terms, torch.zeros((), device=class_loss.device)), *terms)
