"""A folder of images is a camera recording like any other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from robot_vision.data.sources import frame_of, open_source
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, FrameError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of two sizes, written out of order, and something else."""
    for name, size_wh, red in (("b.PNG", (8, 6), 20), ("a.png", (10, 4), 10), ("c.png", (8, 6), 30)):
        cv2.imwrite(str(tmp_path / name.lower()), np.full((*size_wh[::-1], 3), (0, 0, red), np.uint8))
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def test_images_by_name_ten_a_second(folder: Path) -> None:
    source = open_source(folder)
    assert (source.count, source.rate_hz, source.duration_s) == (3, 10.0, pytest.approx(0.2))
    assert "10 a second" in source.note
    frames = list(source.frames())
    assert [frame.size_wh for frame in frames] == [(10, 4), (8, 6), (8, 6)]
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [10, 20, 30]
    assert [frame.stamp_ns - frames[0].stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert source.stamps_ns() == [frame.stamp_ns for frame in frames]
    for message, frame in zip(source.messages(), frames, strict=True):
        decoded = frame_of(ros_typestore().deserialize_cdr(message.data, message.msgtype))
        np.testing.assert_array_equal(decoded.rgb, frame.rgb)
        assert decoded.stamp_ns == message.stamp_ns == frame.stamp_ns


def test_a_damaged_image_is_named_and_skipped_on_request(folder: Path) -> None:
    (folder / "b.png").write_bytes(b"no image")
    problems: list[FrameError] = []
    assert len(list(open_source(folder).frames(problems.append))) == 2
    assert len(problems) == 1 and "b.png" in str(problems[0])
    with pytest.raises(FrameError, match=r"b\.png"):
        list(open_source(folder).frames())


def test_a_folder_without_images_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(BagError, match="this folder is no bag"):
        open_source(tmp_path)
