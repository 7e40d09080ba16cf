"""The detector's assignment and losses against slow loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.geometry import iou_matrix  # noqa: E402
from robot_vision.train import detector_loss as loss  # noqa: E402
from robot_vision.train.detector_model import SIDE_BINS, RawPredictions, anchor_points  # noqa: E402


def scene(seed: int, objects: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, loss.Targets]:
    """Random predictions around random objects of two images, the second with padding."""
    rng = np.random.default_rng(seed)
    points, strides = anchor_points([(8, 8), (4, 4), (2, 2)], (8, 16, 32))
    corners = rng.uniform(0, 44, (2, objects, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 20, (2, objects, 2))], axis=2)
    valid = np.ones((2, objects), bool)
    valid[1, 3:] = False
    boxes[~valid] = 0
    half = rng.uniform(2, 16, (2, len(points), 2))
    predicted = np.concatenate([points.numpy() - half, points.numpy() + half], axis=2)
    targets = loss.Targets(
        torch.from_numpy(boxes).float(),
        torch.from_numpy(rng.integers(0, 3, (2, objects))),
        torch.from_numpy(valid),
        torch.zeros(2, 0, 4),
    )
    scores = torch.from_numpy(rng.uniform(0.01, 0.9, (2, len(points), 3))).float()
    return scores, torch.from_numpy(predicted).float(), points, strides, targets


def assign_slowly(scores, predicted, points, strides, targets) -> list[dict[int, tuple[int, float]]]:
    """TOOD's assignment as its paper words it, one object and one point at a time: {point: (object, quality)}."""
    result = []
    for image in range(len(scores)):
        wanted: dict[int, list[tuple[float, int]]] = {}
        alignments: dict[tuple[int, int], float] = {}
        overlaps = iou_matrix(targets.boxes_xyxy[image].numpy(), predicted[image].numpy())
        for row in range(targets.boxes_xyxy.shape[1]):
            if not targets.valid[image, row]:
                continue
            x1, y1, x2, y2 = targets.boxes_xyxy[image, row].tolist()
            ranking = []
            for index, ((x, y), stride) in enumerate(zip(points.tolist(), strides[:, 0].tolist(), strict=True)):
                least = 4.0 if stride == 8 else 0.0
                half_w, half_h = max((x2 - x1) / 2, least), max((y2 - y1) / 2, least)
                if abs(x - (x1 + x2) / 2) <= half_w and abs(y - (y1 + y2) / 2) <= half_h:
                    score = float(scores[image, index, targets.labels[image, row]])
                    ranking.append((score * float(overlaps[row, index]) ** 6, index))
            for alignment, index in sorted(ranking, reverse=True)[: loss.CANDIDATES]:
                wanted.setdefault(index, []).append((float(overlaps[row, index]), row))
                alignments[row, index] = alignment
        owners = {index: max(claims)[1] for index, claims in wanted.items()}
        quality = {}
        for row in set(owners.values()):
            mine = [index for index, owner in owners.items() if owner == row]
            best_alignment = max(alignments[row, index] for index in mine)
            best_overlap = max(float(overlaps[row, index]) for index in mine)
            for index in mine:
                quality[index] = (row, alignments[row, index] / max(best_alignment, 1e-12) * best_overlap)
        result.append(quality)
    return result


@pytest.mark.parametrize("seed", range(6))
def test_assignment_equals_a_slow_loop(seed: int) -> None:
    scores, predicted, points, strides, targets = scene(seed)
    assigned = loss.assign(scores, predicted, points, strides, targets)
    for image, expected in enumerate(assign_slowly(scores, predicted, points, strides, targets)):
        positive = assigned.positive[image].nonzero()[:, 0].tolist()
        # Points that overlap none of the objects that could claim them may go to any of these; their quality is 0.
        certain = {index for index, (_, quality) in expected.items() if quality > 0}
        assert set(positive) == set(expected)
        assert certain
        for index, (row, quality) in expected.items():
            assert float(assigned.quality[image, index]) == pytest.approx(quality, rel=1e-4, abs=1e-6)
            if index in certain:
                assert int(assigned.object_index[image, index]) == row


def test_every_object_gets_a_point_even_one_between_the_finest_cells() -> None:
    """A 3×3 pixel object that contains no anchor point is still learnt."""
    points, strides = anchor_points([(8, 8), (4, 4), (2, 2)], (8, 16, 32))
    box = torch.tensor([[[30.5, 30.5, 33.5, 33.5]]])
    targets = loss.Targets(box, torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool), box[:, :0])
    predicted = torch.cat([points - 4, points + 4], dim=1)[None]
    assigned = loss.assign(torch.full((1, len(points), 1), 0.5), predicted, points, strides, targets)
    assert assigned.positive.sum() == 4
    assert set(map(tuple, points[assigned.positive[0]].tolist())) == {(28, 28), (36, 28), (28, 36), (36, 36)}


def test_an_image_without_objects_has_no_positives_and_a_finite_loss() -> None:
    raw = random_raw(1)
    empty = loss.Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0).long(), torch.zeros(2, 0).bool(), torch.zeros(2, 0, 4))
    terms = loss.detector_loss(raw, empty)
    assert terms.iou == 0
    assert terms.sides == 0
    assert math.isfinite(terms.total.item())
    assert terms.total > 0


def random_raw(seed: int, requires_grad: bool = False) -> RawPredictions:
    draw = torch.Generator().manual_seed(seed)
    points, strides = anchor_points([(8, 8), (4, 4), (2, 2)], (8, 16, 32))
    classes = torch.randn(2, len(points), 3, generator=draw).requires_grad_(requires_grad)
    sides = torch.randn(2, len(points), 4, SIDE_BINS, generator=draw).requires_grad_(requires_grad)
    return RawPredictions(classes, sides, points, strides)


def test_ignore_regions_silence_negatives_and_leave_positives() -> None:
    """An ignore region over the whole image: gradients reach exactly the points that answer for an object."""
    targets = scene(3)[4]
    raw = random_raw(2, requires_grad=True)
    everywhere = targets._replace(ignored_xyxy=torch.tensor([[[-999.0, -999, 999, 999]]]).expand(2, 1, 4))
    loss.detector_loss(raw, everywhere).classes.backward()
    touched = raw.class_logits.grad.abs().sum(dim=2) > 0
    with torch.no_grad():
        boxes = loss.decode_boxes(loss.decode_sides(raw.side_logits), raw.points_xy, raw.strides)
        assigned = loss.assign(raw.class_logits.sigmoid(), boxes, raw.points_xy, raw.strides, targets)
    assert torch.equal(touched, assigned.positive)


def test_ignored_share_by_hand() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [20, 20, 30, 30]]])
    regions = torch.tensor([[[5.0, 0, 100, 10], [0, 0, 10, 2], [0, 0, 0, 0]]])
    assert loss.ignored_share(boxes, regions).tolist() == [[0.5, 0.0]]


def test_iou_of_pairs_equals_the_matrix_and_generalised_iou_is_known() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 20, 2)).astype(np.float32)
    first, second = (np.concatenate([c, c + rng.uniform(1, 30, (20, 2))], axis=1).astype(np.float32) for c in corners)
    expected = np.diagonal(iou_matrix(first, second))
    np.testing.assert_allclose(loss.paired_iou(torch.from_numpy(first), torch.from_numpy(second)), expected, atol=1e-6)
    # Two unit squares a unit apart: no overlap, a hull of 3 of which 2 are covered.
    apart = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 0, 3, 1]])
    assert loss.paired_iou(*apart, generalised=True).item() == pytest.approx(-1 / 3)
    assert loss.paired_iou(apart[0], apart[0], generalised=True).item() == pytest.approx(1)


def test_varifocal_by_hand() -> None:
    """Positive with target q: q · BCE(p, q); negative: 0.75 · p² · (−ln(1 − p))."""
    probability, quality = 0.3, 0.8
    logit = math.log(probability / (1 - probability))
    positive = quality * -(quality * math.log(probability) + (1 - quality) * math.log(1 - probability))
    negative = 0.75 * probability**2 * -math.log(1 - probability)
    found = loss.varifocal(torch.tensor([logit, logit]), torch.tensor([quality, 0.0]))
    assert found.tolist() == pytest.approx([positive, negative], rel=1e-5)


def test_side_loss_is_smallest_at_the_true_distance() -> None:
    """With bins k and k+1 at the right shares the loss is the entropy of the shares, and any other split costs more."""
    distances = torch.full((1, 4), 3.25)

    def cost(share_above: float) -> float:
        logits = torch.full((1, 4, SIDE_BINS), -30.0)
        logits[..., 3], logits[..., 4] = math.log(1 - share_above), math.log(share_above)
        return loss.side_loss(logits, distances).item()

    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert cost(0.25) == pytest.approx(entropy, rel=1e-5)
    assert cost(0.25) < min(cost(0.2), cost(0.3))


def test_distances_beyond_the_last_bin_are_finite() -> None:
    logits = torch.zeros(1, 4, SIDE_BINS)
    assert math.isfinite(loss.side_loss(logits, torch.tensor([[-1.0, 0.0, 11.0, 99.0]])).item())
