"""Video files as camera recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_vision.data.bags import RawMessage
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, FrameError
from robot_vision.types import Frame, UInt8Array

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"})
# ROS takes a zero stamp for "not set".
FIRST_STAMP_NS = 1_000_000_000
PICTURE_TOPIC = "/camera/image_raw"
PICTURE_TYPE = "sensor_msgs/msg/Image"
FRAME_ID = "camera"
"""What stands for topic, type and frame where pictures come from files that know none."""


def image_message(picture: UInt8Array, encoding: str, stamp_ns: int) -> RawMessage:
    """A picture as a serialised `sensor_msgs/Image`, recorded at its stamp.

    Args:
        picture: (H, W, 3) uint8.
        encoding: Order of its channels, `bgr8` or `rgb8`.
        stamp_ns: Capture time in nanoseconds.

    Returns:
        The message.
    """
    store = ros_typestore()
    types = store.types
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    stamp = types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    height, width = picture.shape[:2]
    message = types[PICTURE_TYPE](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id=FRAME_ID),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(picture).reshape(-1),
    )
    return RawMessage(stamp_ns, store.serialize_cdr(message, PICTURE_TYPE), PICTURE_TYPE, PICTURE_TOPIC)


class VideoSource:
    """The images of a video, stamped by its frame rate; see `ImageSource` for the attributes.

    Args:
        path: A video that OpenCV can read.

    Raises:
        BagError: If there is no such file, or it is empty, damaged, or has no frame rate.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topic = PICTURE_TOPIC
        self.msgtype = PICTURE_TYPE
        self.note = ""
        with _capture(path) as capture:
            self.rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
            self.count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            readable, _ = capture.read()
        if not readable:
            raise BagError(f"{path}: no picture of this video can be decoded; it is damaged, or OpenCV lacks its codec")
        if not math.isfinite(self.rate_hz) or self.rate_hz <= 0:
            raise BagError(f"{path}: the video states no frame rate; convert it, e.g. `ffmpeg -i IN -r 30 OUT.mp4`")
        self.duration_s = max(0, self.count - 1) / self.rate_hz

    def messages(self) -> Iterator[RawMessage]:
        """Serialised bgr8 `sensor_msgs/Image` messages.

        Yields:
            One `RawMessage` at a time, recorded at the frame's own stamp.

        Raises:
            BagError: If the video vanished.
        """
        for stamp_ns, bgr in self._pictures():
            yield image_message(bgr, "bgr8", stamp_ns)

    def frames(self, on_bad_frame: Callable[[FrameError], None] | None = None) -> Iterator[Frame]:  # noqa: ARG002
        """Decoded images.

        Args:
            on_bad_frame: Unused: a decoder conceals damage inside a video.

        Yields:
            One `Frame` at a time.

        Raises:
            BagError: If the video vanished.
        """
        for _, frame in self.recorded_frames():
            yield frame

    def recorded_frames(
        self,
        on_bad_frame: Callable[[FrameError], None] | None = None,  # noqa: ARG002
    ) -> Iterator[tuple[int, Frame]]:
        """As `frames`, each with the time of its recording, which is its stamp.

        Args:
            on_bad_frame: Unused, as for `frames`.

        Yields:
            Time in nanoseconds and the frame.

        Raises:
            BagError: If the video vanished.
        """
        for stamp_ns, bgr in self._pictures():
            yield stamp_ns, Frame(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), stamp_ns, FRAME_ID)

    def stamps_ns(self) -> list[int]:
        """Capture time of every image that can be decoded.

        Raises:
            BagError: If the video vanished.
        """
        stamps: list[int] = []
        with _capture(self.path) as capture:
            while capture.grab():
                stamps.append(self._stamp_ns(len(stamps)))
        return stamps

    def _stamp_ns(self, index: int) -> int:
        return FIRST_STAMP_NS + round(index * 1e9 / self.rate_hz)

    def _pictures(self) -> Iterator[tuple[int, UInt8Array]]:
        with _capture(self.path) as capture:
            index = 0
            while True:
                there, bgr = capture.read()
                if not there:
                    return
                yield self._stamp_ns(index), bgr
                index += 1


@contextmanager
def _capture(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise BagError(f"{path}: there is no such video")
    if path.stat().st_size == 0:
        raise BagError(f"{path}: the file is empty (0 bytes)")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise BagError(f"{path}: cannot be read as a video; it is damaged or cut off, or OpenCV lacks its codec")
        yield capture
    finally:
        capture.release()
