"""Textures: the right type, repeatable, seamless where they tile."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.sim import textures

SURFACES = sorted({*textures.FLOORS_INDOOR, *textures.FLOORS_OUTDOOR, *textures.WALLS}, key=lambda draw: draw.__name__)


@pytest.mark.parametrize("draw", SURFACES)
def test_a_surface_is_an_image_decided_by_its_seed(draw: object) -> None:
    first, second, other = (draw(np.random.default_rng(seed)) for seed in (1, 1, 2))  # type: ignore[operator]
    assert first.dtype == np.uint8
    assert first.shape == (textures.TILE, textures.TILE, 3)
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_noise_is_seamless_and_within_its_range() -> None:
    field = textures.noise(np.random.default_rng(0), 2.0)
    inner = np.abs(np.diff(field, axis=1)).max()
    assert np.abs(field[:, 0] - field[:, -1]).max() <= 2 * inner
    assert field.min() >= 0
    assert field.max() <= 1


def test_bands_end_where_they_are_told_to() -> None:
    image = textures.bands([(0.25, (1.0, 0.0, 0.0)), (1.0, (0.0, 0.0, 1.0))], height=8, width=2)
    assert image[:2].reshape(-1, 3).tolist() == [[255, 0, 0]] * 4
    assert image[2:].reshape(-1, 3).tolist() == [[0, 0, 255]] * 12


def test_colour_from_hex() -> None:
    assert textures.colour_from_hex("#ff8000") == pytest.approx((1.0, 128 / 255, 0.0))
