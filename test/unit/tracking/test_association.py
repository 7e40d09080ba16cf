"""Pairs equal a comparison of every box with every other; the assignment equals brute force and a dense solve."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from robot_vision.geometry import iou_matrix
from robot_vision.tracking.association import Pairs, assign, mutual_best, one_to_one, overlapping_pairs, overlaps


def random_boxes(count: int, rng: np.random.Generator, area: float = 1000) -> np.ndarray:
    """(4, N) corners of boxes of very different sizes."""
    corner = rng.uniform(0, area, (2, count))
    return np.concatenate([corner, corner + rng.lognormal(3, 0.7, (2, count))])


def random_pairs(rows: int, columns: int, density: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Pairs of a random sparse gain matrix, and the matrix."""
    matrix = np.where(rng.random((rows, columns)) < density, rng.uniform(0.01, 1, (rows, columns)), 0)
    row, column = matrix.nonzero()
    return row, column, matrix[row, column], matrix


def best_total(matrix: np.ndarray) -> float:
    """Largest total gain by trying everything."""
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    rows = np.arange(matrix.shape[0])
    return max(matrix[rows, list(order)].sum() for order in permutations(range(matrix.shape[1]), len(rows)))


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (5, 0), (1, 1), (9, 14), (60, 60), (150, 90), (300, 400)])
def test_pairs_are_those_of_the_full_matrix(rows: int, columns: int) -> None:
    """Protects both ways of finding pairs, the comparison of all and the sweep."""
    rng = np.random.default_rng(rows)
    a, b = random_boxes(rows, rng), random_boxes(columns, rng)
    pairs = overlaps(a, b)
    matrix = np.zeros((rows, columns))
    matrix[pairs.rows, pairs.columns] = pairs.iou
    assert len(set(zip(pairs.rows.tolist(), pairs.columns.tolist(), strict=True))) == len(pairs.rows)
    np.testing.assert_allclose(matrix, iou_matrix(a.T, b.T), atol=1e-12)


def test_a_box_over_everything_hides_no_pair_from_the_sweep() -> None:
    """A huge box spoils the order of the right edges on which a sweep relies."""
    rng = np.random.default_rng(5)
    a, b = random_boxes(100, rng), random_boxes(100, rng)
    a[:, 3] = b[:, 7] = [-10, -10, 2000, 2000]
    rows, columns = overlapping_pairs(a, b)
    assert set(zip(rows, columns, strict=True)) == set(zip(*iou_matrix(a.T, b.T).nonzero(), strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_assignment_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    row, column, gain, matrix = random_pairs(*rng.integers(1, 7, 2), rng.uniform(0.1, 1), rng)
    chosen = assign(row, column, gain, matrix.shape)
    assert len(set(row[chosen])) == len(set(column[chosen])) == len(chosen)
    assert gain[chosen].sum() == pytest.approx(best_total(matrix), abs=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_assignment_of_equal_gains_equals_brute_force(seed: int) -> None:
    """Several equally good pairs of a row or column, of which only one may be taken."""
    rng = np.random.default_rng(seed)
    _, _, _, matrix = random_pairs(*rng.integers(1, 7, 2), rng.uniform(0.3, 1), rng)
    matrix = np.ceil(matrix * 3) / 3
    row, column = matrix.nonzero()
    gain = matrix[row, column]
    chosen = assign(row, column, gain, matrix.shape)
    assert len(set(row[chosen])) == len(set(column[chosen])) == len(chosen)
    assert gain[chosen].sum() == pytest.approx(best_total(matrix), abs=1e-12)


@pytest.mark.parametrize("shape", [(32, 32), (32, 33), (50, 60), (80, 102), (80, 103)])
@pytest.mark.parametrize("levels", [3, 10**6])
@pytest.mark.parametrize("density", [0.01, 0.02, 0.05])
def test_no_size_makes_a_difference(shape: tuple[int, int], levels: int, density: float) -> None:
    """Sizes on both sides of where another way of solving begins; gains that are often equal and that never are."""
    rng = np.random.default_rng(levels + shape[1])
    _, _, _, matrix = random_pairs(*shape, density, rng)
    matrix = np.ceil(matrix * levels) / levels
    row, column = matrix.nonzero()
    gain = matrix[row, column]
    chosen = assign(row, column, gain, matrix.shape)
    assert len(set(row[chosen])) == len(set(column[chosen])) == len(chosen)
    assert gain[chosen].sum() == pytest.approx(matrix[linear_sum_assignment(matrix, maximize=True)].sum(), rel=1e-12)


@pytest.mark.parametrize("density", [0.002, 0.006, 0.01, 0.05])
def test_components_equal_one_dense_solve(density: float) -> None:
    rng = np.random.default_rng(int(1e4 * density))
    row, column, gain, matrix = random_pairs(200, 260, density, rng)
    chosen = assign(row, column, gain, matrix.shape)
    best = linear_sum_assignment(matrix, maximize=True)
    assert len(set(row[chosen])) == len(set(column[chosen])) == len(chosen)
    assert gain[chosen].sum() == pytest.approx(matrix[best].sum(), rel=1e-12)


def test_many_separate_conflicts_are_all_solved() -> None:
    """Hundreds of crossings, each its own component: in each, the choice that is greedy for one is wrong for both."""
    crossings = np.arange(300)
    row = np.concatenate([2 * crossings, 2 * crossings, 2 * crossings + 1])
    column = np.concatenate([2 * crossings, 2 * crossings + 1, 2 * crossings])
    gain = np.repeat([0.6, 0.5, 0.5], len(crossings))
    chosen = assign(row, column, gain, (600, 600))
    assert sorted(chosen) == list(range(300, 900))


def test_no_pairs_no_choice() -> None:
    nothing = np.zeros(0, np.int64)
    assert len(assign(nothing, nothing, np.zeros(0), (3, 4))) == 0


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ([], [], True),
        ([0, 1], [1, 0], True),
        ([0, 0], [0, 1], False),
        ([0, 1], [0, 0], False),
        ([0, 0, 1], [0, 1, 1], False),
    ],
)
def test_one_to_one_looks_at_both_sides(rows: list[int], columns: list[int], expected: bool) -> None:
    """Where it is said wrongly, two tracks continue with one detection."""
    assert one_to_one(np.array(rows, np.int64), np.array(columns, np.int64), (2, 2)) is expected


def test_equal_overlaps_are_all_best_and_small_ones_none() -> None:
    """A detector that names one box twice must not hide it from the estimate of the camera's motion."""
    rows, columns = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    pairs = Pairs(rows, columns, np.array([0.6, 0.6, 0.6, 0.1]), (3, 3))
    np.testing.assert_array_equal(mutual_best(pairs, 0.15), [0, 1, 2])


def test_mutual_best_is_best_from_both_sides() -> None:
    rng = np.random.default_rng(8)
    pairs = overlaps(random_boxes(40, rng, 200), random_boxes(40, rng, 200))
    matrix = np.zeros(pairs.shape)
    matrix[pairs.rows, pairs.columns] = pairs.iou
    expected = {
        (row, column)
        for row, column in zip(*matrix.nonzero(), strict=True)
        if matrix[row].max() == matrix[row, column] == matrix[:, column].max()
    }
    best = mutual_best(pairs, 0.0)
    assert set(zip(pairs.rows[best], pairs.columns[best], strict=True)) == expected
