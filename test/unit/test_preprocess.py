"""Preprocessing against a slow loop over pixels, block means, and itself on other image sizes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import InputSpec

BASE = InputSpec("images", (32, 24), "RGB", "letterbox", 114, 1.0)


def random_image(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def fill(spec: InputSpec, rgb: np.ndarray) -> np.ndarray:
    out = np.full((1, 3, spec.size_wh[1], spec.size_wh[0]), np.nan, np.float32)
    Preprocessor(spec).fill(rgb, out)
    return out


def bilinear(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width, 3) float64: pixel centres mapped to pixel centres, edge pixels repeated."""
    rows, columns = rgb.shape[:2]
    result = np.empty((height, width, 3))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            u = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(v), int(u)
            below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = rgb[top, left] * (1 - (u - left)) + rgb[top, right] * (u - left)
            lower = rgb[below, left] * (1 - (u - left)) + rgb[below, right] * (u - left)
            result[y, x] = upper * (1 - (v - top)) + lower * (v - top)
    return result


@pytest.mark.parametrize("size", [(64, 48), (50, 20), (20, 50), (7, 5), (32, 24), (33, 24)])
@pytest.mark.parametrize("rule", ["letterbox", "letterbox_top_left", "stretch"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_equals_a_slow_loop_within_rounding(size: tuple[int, int], rule: str, colour: str) -> None:
    spec = dataclasses.replace(
        BASE, resize=rule, colour=colour, scale=1 / 255, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)
    )
    rgb = random_image(*size)
    width, height = spec.size_wh
    ratio = min(width / size[0], height / size[1])
    inner_w, inner_h = (width, height) if rule == "stretch" else (round(size[0] * ratio), round(size[1] * ratio))
    left, top = ((width - inner_w) // 2, (height - inner_h) // 2) if rule == "letterbox" else (0, 0)
    pixels = np.full((height, width, 3), 114.0)
    pixels[top : top + inner_h, left : left + inner_w] = bilinear(rgb, inner_w, inner_h)
    actual = fill(spec, rgb)[0]
    for channel in range(3):
        source = channel if colour == "RGB" else 2 - channel
        expected = (pixels[:, :, source] / 255 - spec.mean[channel]) / spec.std[channel]
        one_grey_level = 1.01 / 255 / spec.std[channel]
        np.testing.assert_allclose(actual[channel], expected, atol=one_grey_level)


def test_area_interpolation_is_the_mean_of_the_covered_pixels() -> None:
    spec = dataclasses.replace(BASE, resize="stretch", interpolation="area")
    rgb = random_image(32 * 10, 24 * 5)
    means = rgb.reshape(24, 5, 32, 10, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fill(spec, rgb)[0], means.transpose(2, 0, 1), atol=0.51)


@pytest.mark.parametrize("size", [(320, 180), (80, 240), (100, 90)])
def test_area_interpolation_counts_pixels_that_a_cell_cuts_by_their_share(size: tuple[int, int]) -> None:
    """One axis whole and one fractional, the other way round, and both fractional: the weighted mean, rounded."""
    spec = dataclasses.replace(BASE, resize="stretch", interpolation="area")
    rgb = random_image(*size)
    columns, rows = (coverage(length, cells) for length, cells in zip(size, spec.size_wh, strict=True))
    means = np.einsum("yr,xc,rcn->nyx", rows, columns, rgb.astype(np.float64))
    np.testing.assert_allclose(fill(spec, rgb)[0], means, atol=1.01)


def test_area_interpolation_of_a_large_image_is_the_mean_of_the_covered_pixels_too() -> None:
    """Such an image is halved first; with an even number of pixels to a cell that adds nothing but a rounding."""
    spec = dataclasses.replace(BASE, resize="stretch", interpolation="area")
    rgb = random_image(32 * 20, 24 * 8)
    means = rgb.reshape(24, 8, 32, 20, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fill(spec, rgb)[0], means.transpose(2, 0, 1), atol=1.01)


def test_area_interpolation_of_a_large_image_moves_an_edge_by_less_than_a_source_pixel() -> None:
    """The worst case of halving: cells of 11.25 pixels, and stripes of one to thirty pixels in black and white."""
    spec = dataclasses.replace(BASE, resize="stretch", interpolation="area")
    edges = np.add.accumulate(np.random.default_rng(3).integers(1, 30, 60))
    stripes = (np.searchsorted(edges, np.arange(270), side="right") % 2 * 255).astype(np.uint8)
    rgb = np.repeat(np.repeat(stripes[:, None, None], 32 * 20, axis=1), 3, axis=2)
    means = coverage(270, 24) @ rgb[:, 0].astype(np.float64)
    cell_px = 270 / 24
    np.testing.assert_allclose(fill(spec, rgb)[0, :, :, 0], means.T, atol=255 / cell_px)


def coverage(length: int, cells: int) -> np.ndarray:
    """(cells, length) share of each cell that each pixel covers along one axis."""
    edges = np.arange(cells + 1) * length / cells
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlap, 0) * cells / length


def test_bytes_survive_scaling_exactly() -> None:
    """Without resizing, every one of the 256 values arrives as the float32 next to value / 255."""
    spec = dataclasses.replace(BASE, size_wh=(16, 16), scale=1 / 255)
    rgb = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_allclose(fill(spec, rgb)[0, 1].ravel(), np.arange(256) / 255, rtol=2e-7)


def test_marked_pixel_lies_where_the_transform_says() -> None:
    rgb = np.zeros((100, 200, 3), np.uint8)
    rgb[40:44, 120:124] = 255
    spec = dataclasses.replace(BASE, size_wh=(100, 100), pad_value=0)
    out = np.empty((1, 3, 100, 100), np.float32)
    transform = Preprocessor(spec).fill(rgb, out)
    ys, xs = np.nonzero(out[0, 0] > 127)
    found = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float64)
    np.testing.assert_array_equal(transform.to_source(found), [[120, 40, 124, 44]])


def test_an_earlier_image_leaves_no_trace() -> None:
    preprocessor = Preprocessor(BASE)
    out = np.empty((1, 3, 24, 32), np.float32)
    for seed, size in enumerate([(64, 20), (20, 64), (32, 24), (64, 20), (1, 1)]):
        rgb = random_image(*size, seed)
        preprocessor.fill(rgb, out)
        np.testing.assert_array_equal(out, fill(BASE, rgb))


@pytest.mark.parametrize("view", ["cropped", "mirrored", "swapped", "read-only"])
def test_any_memory_layout_gives_the_same_values_and_is_not_changed(view: str) -> None:
    whole = random_image(80, 60)
    rgb = {"cropped": whole[5:50, 7:70], "mirrored": whole[:, ::-1], "swapped": whole[..., ::-1], "read-only": whole}[
        view
    ]
    rgb.flags.writeable = view != "read-only"
    before = rgb.copy()
    np.testing.assert_array_equal(fill(BASE, rgb), fill(BASE, before))
    np.testing.assert_array_equal(rgb, before)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4), np.uint8), ((4, 4, 4), np.uint8), ((4, 4, 3), np.float32), ((0, 4, 3), np.uint8)]
)
def test_refuses_what_is_no_rgb_image(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(InvalidValueError, match=r"image: expected uint8 of shape \(H, W, 3\) with pixels, got"):
        fill(BASE, np.zeros(shape, dtype))


@pytest.mark.parametrize(
    "out",
    [np.zeros((1, 3, 32, 24), np.float32), np.zeros((1, 3, 24, 32), np.float64), np.zeros((1, 3, 24, 32), np.uint8)],
)
def test_refuses_a_buffer_of_another_shape_or_type(out: np.ndarray) -> None:
    with pytest.raises(
        InvalidValueError, match=r"network input: expected float32 of shape \(1, 3, 24, 32\) or uint8 of"
    ):
        Preprocessor(BASE).fill(random_image(5, 5), out)
