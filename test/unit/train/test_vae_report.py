"""Figures of an encoder: the linear baseline and error measures against direct computation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.errors import InvalidValueError  # noqa: E402
from robot_vision.train.vae_report import (  # noqa: E402
    VaeFigures,
    frame_errors,
    pca_error,
    psnr_db,
    salient_error,
    write_comparison,
    write_curves,
)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(0, 256, (40, 3, 6, 6), dtype=np.uint8)


def test_pca_error_equals_that_of_a_full_singular_value_decomposition(frames):
    held_out = np.random.default_rng(2).integers(0, 256, (9, 3, 6, 6), dtype=np.uint8)
    data, other = frames.reshape(40, -1) / 255, held_out.reshape(9, -1) / 255
    _, _, basis = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    projected = (other - data.mean(axis=0)) @ basis[:5].T @ basis[:5] + data.mean(axis=0)
    assert pca_error(frames, held_out, 5) == pytest.approx(np.mean((other - projected) ** 2), rel=1e-4)


def test_pca_reconstructs_a_space_of_its_own_size_exactly():
    rng = np.random.default_rng(3)
    weights = rng.integers(0, 2, (30, 3))
    patterns = rng.integers(0, 80, (3, 3, 6, 6))
    frames = np.einsum("nk,kchw->nchw", weights, patterns).astype(np.uint8)
    assert pca_error(frames[:20], frames[20:], 3) < 1e-9


def test_pca_needs_more_frames_than_components(frames):
    with pytest.raises(InvalidValueError, match="more than 40 training frames"):
        pca_error(frames, frames, 40)


def test_frame_errors_and_psnr_of_known_differences():
    frames = np.full((2, 3, 4, 4), 51, np.uint8)  # 0.2
    images = np.stack([np.full((3, 4, 4), 0.2), np.full((3, 4, 4), 0.3)]).astype(np.float32)
    np.testing.assert_allclose(frame_errors(frames, images), [0.0, 0.01], atol=1e-8)
    assert psnr_db(0.01) == pytest.approx(20.0)


def test_the_error_in_boxes_leaves_out_the_rest_and_counts_half_pixels_half():
    frames = np.full((2, 3, 2, 2), 51, np.uint8)  # 0.2
    images = np.full((2, 3, 2, 2), 0.2, np.float32)
    images[0, :, 0, 0], images[0, :, 1, 1] = 0.3, 0.9
    coverage = np.zeros((2, 1, 2, 2), np.uint8)
    coverage[0, 0, 0], coverage[1, 0, 1, 1] = (100, 50), 50
    assert salient_error(frames, images, coverage) == pytest.approx(0.5 * 0.1**2, rel=1e-4)
    assert np.isnan(salient_error(frames, images, np.zeros_like(coverage)))


def test_a_dimension_whose_mean_never_moves_counts_as_collapsed():
    std = np.array([1.0, 0.05, 0.2], np.float32)
    figures = VaeFigures(np.zeros(3), std, np.zeros(3), np.zeros(4), np.zeros((4, 3, 2, 2)))
    assert figures.collapsed_dimensions == [1]


@pytest.mark.parametrize("count", [1, 5, 30])
def test_the_picture_has_each_frame_above_its_reconstruction(tmp_path, frames, count):
    chosen = frames[:count]
    write_comparison(tmp_path / "sheet.png", chosen, np.zeros(chosen.shape, np.float32), columns=5)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))[::2, ::2, ::-1]
    np.testing.assert_array_equal(sheet[:6, :6], chosen[0].transpose(1, 2, 0))
    assert not sheet[6:12].any()


def test_curves_are_an_image(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: run `make train-env`")
    names = ("mse", "kl", "held_out_mse", "held_out_kl")
    write_curves(tmp_path / "curves.png", [dict.fromkeys(names, 1.0 / (epoch + 1)) for epoch in range(3)])
    assert cv2.imread(str(tmp_path / "curves.png")).shape[:2] == (480, 1200)
    write_curves(tmp_path / "curves.png", [{"mse": 1.0, "held_out_mse": 2.0}] * 3)
    assert cv2.imread(str(tmp_path / "curves.png")).shape[:2] == (480, 600)
