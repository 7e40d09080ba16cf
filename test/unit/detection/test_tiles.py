"""Regions and slices: where they lie, that they cover everything, and that boxes come back in image pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robot_vision.detection.tiles import Tile, tiles_of, whole
from robot_vision.errors import InvalidValueError
from robot_vision.params import DetectorParams

SIZE = (640, 480)


def tiles(size_wh: tuple[int, int] = SIZE, **params: Any) -> tuple[Tile, ...]:
    return tiles_of(size_wh, DetectorParams(**params))


def test_without_settings_it_is_the_whole_image_once() -> None:
    assert tiles() == (Tile(0, 0, 640, 480),)


def test_region_is_a_share_of_the_image() -> None:
    assert tiles(region_left=0.25, region_top=0.5, region_right=0.75) == (Tile(160, 240, 480, 480),)


def test_two_by_two_slices_of_half_overlap() -> None:
    """Parts of size s that overlap by s / 2 cover 1.5 s: s is two thirds."""
    found = tiles((600, 300), slice_columns=2, slice_rows=2, slice_overlap=0.5)
    assert found[0] == Tile(0, 0, 600, 300)
    assert found[1:] == (Tile(0, 0, 400, 200), Tile(200, 0, 600, 200), Tile(0, 100, 400, 300), Tile(200, 100, 600, 300))


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("counts", [(1, 2), (3, 2), (8, 8)])
@pytest.mark.parametrize("size_wh", [(640, 480), (641, 479), (9, 9), (1, 1)])
def test_slices_cover_every_pixel_of_the_region_and_stay_in_it(
    size_wh: tuple[int, int], counts: tuple[int, int], overlap: float
) -> None:
    found = tiles(
        size_wh,
        slice_columns=counts[0],
        slice_rows=counts[1],
        slice_overlap=overlap,
        region_left=0.1,
        region_bottom=0.9,
    )
    region, slices = found[0], found[1:]
    assert len(slices) == counts[0] * counts[1]
    covered = np.zeros(size_wh[::-1], bool)
    for tile in slices:
        assert min(tile.size_wh) >= 1
        covered[tile.top : tile.bottom, tile.left : tile.right] = True
    expected = np.zeros(size_wh[::-1], bool)
    expected[region.top : region.bottom, region.left : region.right] = True
    np.testing.assert_array_equal(covered, expected)


@pytest.mark.parametrize(
    "params", [{"region_left": 0.5, "region_right": 0.5}, {"region_top": 0.7, "region_bottom": 0.2}]
)
def test_an_empty_region_is_refused(params: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=r"region_\w+: must be below region_\w+, got 0\.\d and 0\.\d"):
        DetectorParams(**params)


def test_a_box_at_an_inner_edge_is_cut_and_one_at_the_regions_edge_is_not() -> None:
    """Tile on the left of a region: its left edge is the region's, its right one is not."""
    tile, region = Tile(0, 0, 400, 480), Tile(0, 0, 640, 480)
    boxes = np.array(
        [[0, 10, 50, 60], [360, 10, 400, 60], [350, 0, 399, 60], [350, 10, 397, 60], [-3, -3, 390, 483]], np.float32
    )
    assert whole(boxes, tile, region).tolist() == [True, False, False, True, True]
