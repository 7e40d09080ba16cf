"""Comparison of decoded images with their originals, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage", reason="needs scikit-image: run `make setup`")

from robot_vision.evaluation.latent_images import (
    image_error,
    inside_boxes,
    principal_coordinates,
    psnr_db,
    thumbnail,
)


def textured(side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.7, (side, side, 3)).astype(np.float32)


def test_a_constant_difference_of_a_tenth_is_twenty_decibels() -> None:
    original = textured()
    found = image_error(original, original + np.float32(0.1), np.ones((32, 32), bool))
    assert found.psnr_db == pytest.approx(20, abs=1e-4)
    assert found.box_psnr_db == pytest.approx(20, abs=1e-4)
    assert 0.8 < found.ssim < 1, "structure is kept and only the light is another"


def test_the_same_image() -> None:
    found = image_error(textured(), textured(), np.zeros((32, 32), bool))
    assert found.ssim == pytest.approx(1)
    assert found.psnr_db == psnr_db(0) > 300
    assert np.isnan(found.box_psnr_db), "no box, no figure"
    assert np.isnan(found.box_ssim)


def test_a_forgotten_object_shows_inside_its_box_only() -> None:
    """An object of 8 x 8 of 64 x 64 pixels: the whole image hardly suffers, its box does."""
    decoded = textured(64)
    original = decoded.copy()
    original[8:16, 8:16] += np.float32(0.3)
    inside = inside_boxes(np.array([[8.0, 8.0, 16.0, 16.0]]), (64, 64))
    found = image_error(original, decoded, inside)
    assert found.box_psnr_db == pytest.approx(-20 * np.log10(0.3), abs=1e-3)
    assert found.psnr_db == pytest.approx(found.box_psnr_db + 10 * np.log10(64), abs=1e-3)
    assert found.box_ssim < found.ssim
    outside = image_error(original, decoded, inside_boxes(np.array([[40.0, 40.0, 60.0, 60.0]]), (64, 64)))
    assert outside.box_ssim == pytest.approx(1)


def test_an_image_below_the_window_has_no_similarity() -> None:
    found = image_error(textured(8), textured(8) * np.float32(0.5), np.ones((8, 8), bool))
    assert np.isnan([found.ssim, found.box_ssim]).all()
    assert found.psnr_db > 0


def test_pixels_that_a_box_covers_in_part_are_inside() -> None:
    """Boxes may stick out of the image, be smaller than a pixel, or overlap."""
    boxes = np.array([[1.5, 0.2, 2.1, 0.9], [-5.0, 3.0, 1.0, 9.0], [0.0, 3.0, 1.0, 4.0]])
    expected = np.zeros((5, 6), bool)
    expected[0, 1:3] = True
    expected[3:, 0] = True
    np.testing.assert_array_equal(inside_boxes(boxes, (6, 5)), expected)
    assert not inside_boxes(np.zeros((0, 4)), (6, 5)).any()


def test_thumbnails_average_and_never_grow() -> None:
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[:, 320:] = 200
    small = thumbnail(rgb)
    assert small.shape == (48, 64, 3)
    assert small[:, :32].max() == 0
    assert small[:, 32:].min() == 200
    assert thumbnail(rgb[:40, :30]).shape == (40, 30, 3)


def test_principal_coordinates_find_the_longest_direction() -> None:
    along = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    points = along * [3, 4] + [100, 200]
    first, other = principal_coordinates(points, (np.array([[100.0, 200.0], [104.0, 197.0]]),), 1)
    np.testing.assert_allclose(np.abs(first), 5 * np.abs(along))
    np.testing.assert_allclose(other, 0, atol=1e-9)
