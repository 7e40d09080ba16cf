"""The batched filter equals the textbook's matrices, track by track."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.tracking.kalman import SMALLEST_SIZE, BoxFilter, NoiseModel

NOISE = NoiseModel()
STEADY = NoiseModel(growth_memory=1e12)


class TextbookFilter:
    """One box as one 8-dimensional system (cx, cy, w, h and their rates) with full matrices."""

    def __init__(self, noise: NoiseModel, box: np.ndarray, score: float) -> None:
        self.noise = noise
        scale = np.sqrt(box[2] * box[3])
        starts = np.repeat([noise.start_speed, noise.start_growth], 2) * scale
        self.x = np.concatenate([box, np.zeros(4)])
        self.p = np.diag(np.concatenate([np.diag(self.measurement_noise(score)), starts**2]))

    def scale(self) -> float:
        return float(np.sqrt(self.x[2] * self.x[3]))

    def measurement_noise(self, score: float) -> np.ndarray:
        errors = np.repeat([self.noise.centre_error, self.noise.size_error], 2) * self.scale()
        return np.diag((errors * (1 + self.noise.score_factor * (1 - score))) ** 2)

    def predict(self, dt: float) -> None:
        tau = self.noise.growth_memory
        f = np.eye(8)
        for axis in range(4):
            f[axis, 4 + axis] = dt if axis < 2 else tau * (1 - np.exp(-dt / tau))
            f[4 + axis, 4 + axis] = 1 if axis < 2 else np.exp(-dt / tau)
        density = (np.repeat([self.noise.centre_acceleration, self.noise.size_acceleration], 2) * self.scale()) ** 2
        q = np.kron([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]], np.diag(density))
        self.x = f @ self.x
        self.p = f @ self.p @ f.T + q

    def update(self, box: np.ndarray, score: float) -> None:
        h = np.eye(4, 8)
        s = h @ self.p @ h.T + self.measurement_noise(score)
        k = self.p @ h.T @ np.linalg.inv(s)
        self.x = self.x + k @ (box - h @ self.x)
        self.p = (np.eye(8) - k @ h) @ self.p


def moments_of(textbook: TextbookFilter) -> np.ndarray:
    """(5, 4) moments of a full state, after checking that no axis depends on another."""
    rest = textbook.p.copy()
    axes = np.arange(4)
    for rows, columns in ((axes, axes), (axes, axes + 4), (axes + 4, axes), (axes + 4, axes + 4)):
        rest[rows, columns] = 0
    np.testing.assert_allclose(rest, 0, atol=1e-9)
    blocks = [textbook.p[axes, axes], textbook.p[axes, axes + 4], textbook.p[axes + 4, axes + 4]]
    return np.stack([textbook.x[:4], textbook.x[4:], *blocks])


def test_equals_a_textbook_filter_per_track() -> None:
    rng = np.random.default_rng(3)
    count = 7
    boxes = np.stack([*rng.uniform(0, 1000, (2, count)), *rng.uniform(20, 200, (2, count))])
    scores = rng.uniform(0.1, 1, count)
    batch = BoxFilter(NOISE)
    moments = batch.start(boxes, scores)
    textbooks = [TextbookFilter(NOISE, box, score) for box, score in zip(boxes.T, scores, strict=True)]
    for step in range(40):
        dt = rng.choice([0.0, 0.01, 0.033, 0.2, 1.0])
        moments = batch.predict(moments, dt)
        boxes = boxes + rng.normal(0, 2, boxes.shape)
        scores = rng.uniform(0, 1, count)
        seen = np.flatnonzero(rng.random(count) < 0.7)
        moments[:, :, seen] = batch.update(moments[:, :, seen], boxes[:, seen], scores[seen])
        for track, textbook in enumerate(textbooks):
            textbook.predict(dt)
            if track in seen:
                textbook.update(boxes[:, track], scores[track])
            np.testing.assert_allclose(
                moments[:, :, track], moments_of(textbook), rtol=1e-9, atol=1e-9, err_msg=str(step)
            )


def test_two_half_steps_are_one_step() -> None:
    """Time is continuous: splitting an interval changes nothing but the noise scale's reference size."""
    batch = BoxFilter(STEADY)
    start = batch.start(np.array([[10.0], [20.0], [50.0], [80.0]]), np.array([0.9]))
    start[1, :2] = [[30.0], [-10.0]]
    whole = batch.predict(start, 0.4)
    halves = batch.predict(batch.predict(start, 0.2), 0.2)
    np.testing.assert_allclose(halves, whole, rtol=1e-9, atol=1e-9)


def test_learns_a_constant_velocity() -> None:
    batch = BoxFilter(NOISE)
    box = np.array([[100.0], [50.0], [40.0], [60.0]])
    moments = batch.start(box, np.ones(1))
    for _ in range(60):
        box[:2] += [[4.0], [-2.0]]
        moments = batch.update(batch.predict(moments, 0.1), box, np.ones(1))
    np.testing.assert_allclose(moments[1, :2, 0], [40.0, -20.0], rtol=0.01)


def test_a_low_score_moves_the_estimate_less() -> None:
    batch = BoxFilter(NOISE)
    moments = batch.predict(batch.start(np.array([[0.0], [0.0], [50.0], [50.0]]), np.ones(1)), 0.1)
    moved = np.array([[10.0], [0.0], [50.0], [50.0]])
    sure, unsure = (batch.update(moments, moved, np.array([score]))[0, 0, 0] for score in (1.0, 0.2))
    assert 0 < unsure < sure < 10


def test_sizes_stay_positive() -> None:
    batch = BoxFilter(STEADY)
    moments = batch.start(np.array([[0.0], [0.0], [5.0], [5.0]]), np.ones(1))
    moments[1, 2:] = -100.0
    assert (batch.predict(moments, 1.0)[0, 2:] == SMALLEST_SIZE).all()


def test_many_tracks_are_predicted_as_each_alone() -> None:
    """More than one matrix product carries forward, columns must neither be lost nor change places."""
    count = 1100
    rng = np.random.default_rng(4)
    batch = BoxFilter(NOISE)
    boxes = np.stack([*rng.uniform(0, 1000, (2, count)), *rng.uniform(20, 200, (2, count))])
    moments = batch.start(boxes, rng.uniform(0.1, 1, count))
    moments[1] = rng.normal(0, 50, (4, count))
    together = batch.predict(moments, 0.1)
    for track in (0, 511, 512, 1023, 1024, 1099):
        alone = batch.predict(moments[:, :, track : track + 1], 0.1)
        np.testing.assert_allclose(together[:, :, track], alone[:, :, 0], rtol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_keeps_its_input(count: int) -> None:
    batch = BoxFilter(NOISE)
    moments = batch.start(np.full((4, count), 10.0), np.ones(count))
    before = moments.copy()
    assert batch.predict(moments, 0.1).shape == (5, 4, count)
    assert batch.update(moments, np.full((4, count), 11.0), np.ones(count)).shape == (5, 4, count)
    np.testing.assert_array_equal(moments, before)
