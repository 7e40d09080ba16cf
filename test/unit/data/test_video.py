"""A video file is a camera recording like any other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from robot_vision.data.sources import frame_of, open_source
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError


def test_clip_has_the_listed_size_rate_and_count(shared_data) -> None:
    source = open_source(shared_data / "video" / "one-by-one-person-detection.mp4")
    assert (source.count, source.rate_hz) == (1394, pytest.approx(10.0))
    assert source.duration_s == pytest.approx(139.3)
    frames = source.frames()
    first, second = next(frames), next(frames)
    assert first.size_wh == (768, 432)
    assert first.stamp_ns > 0
    assert second.stamp_ns - first.stamp_ns == 100_000_000


def write_video(path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for index in range(frames):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 2] = 40 + 20 * index
        writer.write(picture)
    writer.release()


def test_messages_and_frames_show_the_same_pixels_at_the_same_stamps(tmp_path) -> None:
    path = tmp_path / "v.avi"
    write_video(path, 5)
    source = open_source(path)
    frames = list(source.frames())
    assert len(frames) == source.count == 5
    assert source.stamps_ns() == [frame.stamp_ns for frame in frames]
    for index, (message, frame) in enumerate(zip(source.messages(), frames, strict=True)):
        from_message = frame_of(ros_typestore().deserialize_cdr(message.data, message.msgtype))
        np.testing.assert_array_equal(from_message.rgb, frame.rgb)
        assert message.stamp_ns == from_message.stamp_ns == frame.stamp_ns
        assert frame.stamp_ns - frames[0].stamp_ns == index * 40_000_000
        assert frame.rgb[..., 0].mean() == pytest.approx(40 + 20 * index, abs=4)
        assert frame.rgb[..., 2].mean() < 4


def test_bad_videos(tmp_path, shared_data) -> None:
    with pytest.raises(BagError, match=r"v\.mp4: there is no such video"):
        open_source(tmp_path / "v.mp4")
    (tmp_path / "v.mp4").touch()
    with pytest.raises(BagError, match="0 bytes"):
        open_source(tmp_path / "v.mp4")
    (tmp_path / "v.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(BagError, match=r"v\.mp4: cannot be read as a video"):
        open_source(tmp_path / "v.mp4")
    content = (shared_data / "video" / "bottle-detection.mp4").read_bytes()
    (tmp_path / "v.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(BagError, match=r"v\.mp4: "):
        list(open_source(tmp_path / "v.mp4").frames())
