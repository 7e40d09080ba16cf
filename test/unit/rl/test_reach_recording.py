"""The recorded task: ground truth lies on what it names, stamps rise, and a variation differs as it says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from robot_vision.data.bags import BagReader
from robot_vision.data.sources import open_source
from robot_vision.errors import BagError, InvalidValueError
from robot_vision.rl.reach_recording import ReachRecording, write_episodes

pytestmark = pytest.mark.usefixtures("simulator")

TRUTH = "/camera/ground_truth"


def record(path: Path, **settings) -> tuple[np.ndarray, list[dict[str, np.ndarray]], list[int]]:
    """Images, boxes by class and stamps of a recording; of a class's boxes the last one, which is the finger's."""
    count = write_episodes(ReachRecording(path, **settings))
    frames = list(open_source(path).frames())
    with BagReader(path) as bag:
        arrays = [message for _, message in bag.messages(TRUTH)]
    assert len(frames) == len(arrays) == count
    boxes = [
        {entry.results[0].hypothesis.class_id: box_of(entry.bbox) for entry in array.detections} for array in arrays
    ]
    return np.stack([frame.rgb for frame in frames]), boxes, [frame.stamp_ns for frame in frames]


def box_of(bbox) -> np.ndarray:
    centre = np.array([bbox.center.position.x, bbox.center.position.y])
    half = np.array([bbox.size_x, bbox.size_y]) / 2
    return np.concatenate([centre - half, centre + half]).astype(int)


def test_the_fingers_box_holds_the_pixels_of_its_colour(tmp_path: Path) -> None:
    """Nothing else in the scene is as magenta; of the finger, at most its shaded side is not."""
    images, boxes, _ = record(tmp_path / "bag", episodes=6, frames=2, seed=3)
    seen = 0
    for image, found in zip(images.astype(int), boxes, strict=True):
        magenta = np.minimum(image[..., 0], image[..., 2]) - image[..., 1] > 60
        if "robot" not in found or magenta.sum() < 10:
            continue
        left, top, right, bottom = found["robot"]
        assert magenta[top:bottom, left:right].sum() == magenta.sum()
        ys, xs = np.nonzero(magenta)
        assert np.abs(np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) - found["robot"]).max() <= 4
        seen += 1
    assert seen >= 9


def test_the_can_stands_still_between_episodes_and_elsewhere_in_the_next(tmp_path: Path) -> None:
    _, boxes, stamps_ns = record(tmp_path / "bag", episodes=4, frames=3, seed=5)
    cans = [np.array([found["can"] for found in boxes[first : first + 3]]) for first in range(0, 12, 3)]
    assert all(np.ptp(places, axis=0).max() <= 4 for places in cans)
    assert min(np.abs(after[0] - before[0]).max() for before, after in pairwise(cans)) > 4
    gaps_s = np.diff(stamps_ns) / 1e9
    assert (gaps_s > 0).all() and (gaps_s[2::3] >= 1).all() and (np.delete(gaps_s, slice(2, None, 3)) < 0.2).all()


def test_the_same_seed_gives_the_same_images(tmp_path: Path) -> None:
    first, again, other = (
        record(tmp_path / name, episodes=2, frames=2, seed=seed)[0] for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_variations_show_a_robot_or_red_light(tmp_path: Path) -> None:
    usual, _, _ = record(tmp_path / "usual", episodes=3, frames=1, seed=1)
    lit, _, _ = record(tmp_path / "light", episodes=3, frames=1, seed=1, variation="light")
    red_share = [(images[..., 0].mean() / images[..., 2].mean()) for images in (usual, lit)]
    assert red_share[1] > 1.5 * red_share[0]
    write_episodes(ReachRecording(tmp_path / "object", 3, 1, 1, variation="object"))
    with BagReader(tmp_path / "object") as bag:
        arrays = [message.detections for _, message in bag.messages(TRUTH)]
    classes = [[entry.results[0].hypothesis.class_id for entry in array] for array in arrays]
    assert all(len({entry.id for entry in array}) == len(array) for array in arrays)
    assert all(names.count("robot") == 2 for names in classes)  # the finger is one of that class, too


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"episodes": 0}, "episodes: expected 1 or more, got 0"),
        ({"episodes": 1, "frames": 0}, "frames: expected 1 or more"),
        ({"episodes": 1, "seed": -1}, "seed: expected 0 or more"),
        ({"episodes": 1, "size_px": 8}, "size_px: expected 16 to 1024 pixels, got 8"),
        ({"episodes": 1, "variation": "fog"}, "'fog' is unknown; use one of none, object, light"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, settings, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        write_episodes(ReachRecording(tmp_path / "bag", **settings))
    assert not (tmp_path / "bag").exists()


def test_a_bag_that_is_there_is_left_alone(tmp_path: Path) -> None:
    write_episodes(ReachRecording(tmp_path / "bag", 1, 1))
    with pytest.raises(BagError, match="bag"):
        write_episodes(ReachRecording(tmp_path / "bag", 1, 1))
