"""Every format of a data set holds the same values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dataset_bags import DRIVE, MS, START_NS, camera, drive, label_info, made, track, track_array

from robot_vision.data.dataset import build as build_module
from robot_vision.data.dataset.build import build
from robot_vision.data.dataset.settings import TopicSpec
from robot_vision.errors import InvalidValueError, MissingDependencyError


def test_parquet_and_npz_hold_the_same(tmp_path) -> None:
    """Vectors, tracks, pictures, masks and flags, bit for bit."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    messages = drive(6) + camera(6)
    for index in range(6):
        stamp_ns = START_NS + index * 100 * MS
        messages.append((stamp_ns, "/track_states", track_array(stamp_ns, [track(7, (4.0, 3.0), index / 10)])))
    messages.append((START_NS, "/label_info", label_info(["box"])))
    messages.sort(key=lambda entry: entry[0])
    observations = (TopicSpec("/latent"), TopicSpec("/track_states"), TopicSpec("/camera/image"))
    settings = replace(DRIVE, observations=observations, image_size_wh=(8, 6), invalid="mask")
    npz, parquet = (made(tmp_path, messages, settings, name, name)[0] for name in ("npz", "parquet"))
    left, right = npz.episode(0), parquet.episode(0)
    assert left.keys() == right.keys() == npz.description["features"].keys()
    for name, values in left.items():
        assert (values.dtype, values.shape) == (right[name].dtype, right[name].shape)
        np.testing.assert_array_equal(values, right[name])
    assert left["observation.images.camera_image"].std() > 10
    assert parquet.episode(0, ["action"]).keys() == {"action"}


def test_formats_that_are_not_installed_or_do_not_fit_are_refused_before_reading(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(build_module, "BagReader", None)
    with pytest.raises(InvalidValueError, match="task"):
        build([tmp_path], tmp_path / "set", DRIVE, "lerobot")
    with pytest.raises(InvalidValueError, match="whole frames"):
        build([tmp_path], tmp_path / "set", replace(DRIVE, rate_hz=7.5, task="drive"), "lerobot")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="pip install pyarrow"):
        build([tmp_path], tmp_path / "set", DRIVE, "parquet")
    monkeypatch.setitem(__import__("sys").modules, "lerobot", None)
    with pytest.raises(MissingDependencyError, match="pip install 'lerobot"):
        build([tmp_path], tmp_path / "set", replace(DRIVE, task="drive"), "lerobot")


def test_lerobot_reads_back_what_was_written(tmp_path) -> None:
    """With the library itself: every value, and the pictures to the pixel."""
    library = pytest.importorskip("lerobot.datasets.lerobot_dataset", reason="LeRobot is not installed")
    messages = sorted(drive(6) + camera(6), key=lambda entry: entry[0])
    settings = replace(
        DRIVE, observations=(TopicSpec("/latent"), TopicSpec("/camera/image")), image_size_wh=(8, 6), task="drive"
    )
    plain, _ = made(tmp_path, messages, settings)
    build([tmp_path / "set_bag"], tmp_path / "lerobot", settings, "lerobot")
    dataset = library.LeRobotDataset("local/set", root=tmp_path / "lerobot")
    episode = plain.episode(0)
    assert (dataset.num_episodes, len(dataset), dataset.fps) == (1, len(episode["time_ns"]), 10)
    for step in range(len(dataset)):
        row = dataset[step]
        for name in ("observation.latent", "action", "time_ns", "next.done", "frame_index"):
            np.testing.assert_array_equal(row[name].numpy().reshape(-1), np.ravel(episode[name][step]))
        picture = np.rint(255 * row["observation.images.camera_image"].numpy().transpose(1, 2, 0))
        np.testing.assert_array_equal(picture, episode["observation.images.camera_image"][step])
        assert row["task"] == "drive"
