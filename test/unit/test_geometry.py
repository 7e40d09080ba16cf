"""Geometry against counting pixels, closed forms and round trips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_vision.errors import InvalidValueError
from robot_vision.geometry import (
    box_area,
    clip_boxes,
    cxcywh_to_xyxy,
    iou_matrix,
    overlapping_spans,
    resize_transform,
    xyxy_to_cxcywh,
)

RULES = ["letterbox", "letterbox_top_left", "stretch"]
SIZE = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


def as_boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 4)


def test_iou_equals_counting_unit_squares() -> None:
    rng = np.random.default_rng(1)
    corners = np.sort(rng.integers(0, 12, (40, 2, 2)), axis=1)
    boxes = corners.reshape(-1, 4)
    masks = np.zeros((len(boxes), 12, 12), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    actual = iou_matrix(boxes[:25].astype(np.float32), boxes[25:].astype(np.float32))
    for i, first in enumerate(masks[:25]):
        for j, second in enumerate(masks[25:]):
            union = (first | second).sum()
            assert actual[i, j] == pytest.approx((first & second).sum() / union if union else 0.0, abs=1e-6)
    np.testing.assert_array_equal(box_area(boxes.astype(np.float32)), masks.sum(axis=(1, 2)))


def test_inverted_boxes_have_no_area_and_no_overlap() -> None:
    inverted, normal = as_boxes((5, 5, 1, 9)), as_boxes((0, 0, 10, 10))
    assert box_area(inverted) == [0]
    assert iou_matrix(inverted, normal) == [[0]]


@pytest.mark.parametrize("count", [(0, 0), (0, 3), (3, 0)])
def test_empty_is_an_ordinary_value(count: tuple[int, int]) -> None:
    a, b = np.zeros((count[0], 4), np.float32), np.zeros((count[1], 4), np.float32)
    assert iou_matrix(a, b).shape == count
    assert xyxy_to_cxcywh(a).shape == cxcywh_to_xyxy(a).shape == a.shape


def test_box_formats_by_hand() -> None:
    np.testing.assert_array_equal(xyxy_to_cxcywh(as_boxes((10, 20, 30, 60))), [[20, 40, 20, 40]])
    np.testing.assert_array_equal(cxcywh_to_xyxy(as_boxes((20, 40, 20, 40))), [[10, 20, 30, 60]])


def test_clip_keeps_dtype_and_input() -> None:
    boxes = np.array([[-5, -1, 20, 30], [3, 4, 5, 6]], np.float32)
    clipped = clip_boxes(boxes, (10, 20))
    np.testing.assert_array_equal(clipped, [[0, 0, 10, 20], [3, 4, 5, 6]])
    assert clipped.dtype == np.float32
    assert boxes[0, 0] == -5


@pytest.mark.parametrize(
    ("source", "network", "rule", "offset", "resized"),
    [
        ((1280, 720), (640, 640), "letterbox", (0, 140), (640, 360)),
        ((1280, 720), (640, 640), "letterbox_top_left", (0, 0), (640, 360)),
        ((1280, 720), (640, 640), "stretch", (0, 0), (640, 640)),
        ((810, 1080), (640, 640), "letterbox", (80, 0), (480, 640)),
        ((640, 480), (320, 320), "letterbox", (0, 40), (320, 240)),
        ((100, 100), (640, 480), "letterbox", (80, 0), (480, 480)),
        ((5000, 1), (64, 64), "letterbox", (0, 31), (64, 1)),
    ],
)
def test_placement_worked_out_by_hand(
    source: tuple[int, int], network: tuple[int, int], rule: str, offset: tuple[int, int], resized: tuple[int, int]
) -> None:
    transform = resize_transform(source, network, rule)
    assert (transform.offset_xy, transform.resized_wh) == (offset, resized)
    assert transform.scale_xy == (resized[0] / source[0], resized[1] / source[1])


@given(source=SIZE, network=SIZE, rule=st.sampled_from(RULES), seed=st.integers(0, 1000))
def test_placed_image_lies_inside_and_boxes_come_back(
    source: tuple[int, int], network: tuple[int, int], rule: str, seed: int
) -> None:
    transform = resize_transform(source, network, rule)
    for axis in (0, 1):
        assert transform.offset_xy[axis] >= 0
        assert transform.resized_wh[axis] >= 1
        assert transform.offset_xy[axis] + transform.resized_wh[axis] <= network[axis]
    boxes = np.random.default_rng(seed).uniform(0, 1, (20, 4)) * [*source, *source]
    there = transform.to_network(boxes)
    np.testing.assert_allclose(transform.to_source(there), boxes, atol=1e-9 * max(source))
    corners = transform.to_network(as_boxes((0, 0, *source)))
    expected = [*transform.offset_xy, *np.add(transform.offset_xy, transform.resized_wh)]
    np.testing.assert_allclose(corners, [expected], atol=1e-9 * max(network))


@given(source=SIZE, network=SIZE)
def test_letterbox_fills_one_side_and_keeps_the_aspect_ratio_to_a_pixel(
    source: tuple[int, int], network: tuple[int, int]
) -> None:
    width, height = resize_transform(source, network, "letterbox").resized_wh
    assert width == network[0] or height == network[1]
    assert abs(width - max(1, source[0] * height / source[1])) <= max(1, source[0] / source[1]) or height == 1
    assert abs(height - max(1, source[1] * width / source[0])) <= max(1, source[1] / source[0]) or width == 1


@pytest.mark.parametrize(("source", "network"), [((0, 5), (5, 5)), ((5, 5), (5, 0)), ((5, -1), (5, 5))])
def test_sizes_must_be_positive(source: tuple[int, int], network: tuple[int, int]) -> None:
    with pytest.raises(InvalidValueError, match="sizes must be positive"):
        resize_transform(source, network, "stretch")


def test_unknown_rule() -> None:
    with pytest.raises(InvalidValueError, match="unknown resize rule 'crop'; use letterbox"):
        resize_transform((5, 5), (5, 5), "crop")


SPANS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=12)


@given(first=SPANS, second=SPANS)
def test_spans_that_overlap_are_those_of_a_plain_loop(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    """Small whole numbers, so that equal ends, equal spans and empty ones are frequent; touching does not count."""
    a, b = (np.array(spans, float).reshape(-1, 2) for spans in (first, second))
    rows, columns = overlapping_spans(a[:, 0], a.sum(axis=1), b[:, 0], b.sum(axis=1))
    expected = {
        (i, j)
        for i, (low, length) in enumerate(first)
        for j, (other, span) in enumerate(second)
        if low < other + span and other < low + length
    }
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
    assert len(rows) == len(expected)
    assert (np.diff(rows) >= 0).all()
