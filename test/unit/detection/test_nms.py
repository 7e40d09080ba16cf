"""Suppression against the plain greedy loop in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_vision.detection import nms
from robot_vision.detection.nms import suppress

Row = tuple[int, int, int, int, int, int]
# Small numbers, so that overlaps, equal boxes, equal scores, lines and points are frequent.
ROWS = st.lists(
    st.tuples(
        st.integers(0, 8), st.integers(0, 8), st.integers(0, 6), st.integers(0, 6), st.integers(1, 5), st.integers(0, 2)
    ),
    max_size=40,
)


def iou(a: Row, b: Row) -> Fraction:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    union = a[2] * a[3] + b[2] * b[3] - shared
    return Fraction(shared, union) if union else Fraction(0)


def brute_force(rows: list[Row], agnostic: bool, threshold: Fraction, limit: int) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-rows[i][4], i)):
        rivals = [k for k in kept if agnostic or rows[k][5] == rows[i][5]]
        if all(iou(rows[i], rows[k]) <= threshold for k in rivals):
            kept.append(i)
    return kept[:limit]


def run(rows: list[Row], agnostic: bool, threshold: Fraction, limit: int) -> list[int]:
    table = np.array(rows, np.float32).reshape(-1, 6)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    class_ids = None if agnostic else table[:, 5].astype(np.int64)
    return suppress(boxes, table[:, 4] / 5, class_ids, float(threshold), limit).tolist()


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    agnostic=st.booleans(),
    threshold=st.sampled_from([Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(1)]),
    limit=st.integers(1, 50),
    block=st.sampled_from([1, 3, 128]),
    head=st.sampled_from([1, 4, 1000]),
)
def test_equals_the_greedy_loop(
    rows: list[Row], agnostic: bool, threshold: Fraction, limit: int, block: int, head: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "_BLOCK", block)
        patch.setattr(nms, "_HEAD", head)
        assert run(rows, agnostic, threshold, limit) == brute_force(rows, agnostic, threshold, limit)


@pytest.mark.parametrize("agnostic", [False, True])
def test_equals_the_greedy_loop_on_many_boxes(agnostic: bool) -> None:
    rng = np.random.default_rng(3)
    rows = [tuple(int(v) for v in row) for row in rng.integers([0, 0, 1, 1, 1, 0], [90, 90, 30, 30, 1000, 4], (700, 6))]
    threshold = Fraction(1, 2)
    assert run(rows, agnostic, threshold, 10_000) == brute_force(rows, agnostic, threshold, 10_000)
    assert run(rows, agnostic, threshold, 150) == brute_force(rows, agnostic, threshold, 150)


def test_overlap_of_exactly_the_threshold_stays() -> None:
    half_covered = [(0, 0, 4, 4, 2, 0), (0, 0, 4, 2, 1, 0)]
    assert run(half_covered, False, Fraction(1, 2), 10) == [0, 1]
    assert run(half_covered, False, Fraction(49, 100), 10) == [0]


def test_equal_scores_keep_the_order_given() -> None:
    assert run([(0, 0, 4, 4, 3, 0)] * 5, True, Fraction(1, 2), 10) == [0]
    assert run([(9 * i, 0, 4, 4, 3, 0) for i in range(5)], True, Fraction(1, 2), 3) == [0, 1, 2]


def test_nothing_in_nothing_out() -> None:
    assert run([], False, Fraction(1, 2), 10) == []
