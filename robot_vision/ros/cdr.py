"""`vision_msgs/Detection2DArray` in its wire form, without message objects in between.

Filling nested message objects and letting rclpy convert them takes longer than everything else that happens to the
boxes of a frame after the network. The wire form is the plain CDR of OMG's DDS-XTYPES 1.3 (encoding version 1,
section 7.4.1): little endian, values aligned to their size from the first byte after the encapsulation header.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from std_msgs.msg import Header

from robot_vision.geometry import xyxy_to_cxcywh
from robot_vision.types import Float32Array

_ENCAPSULATION = b"\x00\x01\x00\x00"
_POSITION_BYTES = 3 * 8
_COVARIANCE_BYTES = 36 * 8


def detection_array_cdr(
    header: Header, boxes_xyxy: Float32Array, scores: Float32Array, labels: Sequence[str], ids: Sequence[str]
) -> bytes:
    """One frame's boxes as a serialised `Detection2DArray`, ready for `Publisher.publish`.

    In float64, centre and size hold a float32 box without loss, so that a reader gets the same corners back.

    Args:
        header: Header of the image; the array and every detection carry it.
        boxes_xyxy: (N, 4) float32 in source pixels.
        scores: (N,) float32.
        labels: N values for `class_id`.
        ids: N track ids, or N empty strings.

    Returns:
        The message.
    """
    sec, nanosec, frame = header.stamp.sec, header.stamp.nanosec, header.frame_id.encode()
    boxes_cxcywh = xyxy_to_cxcywh(boxes_xyxy.astype(np.float64)).tolist()
    head = _head(len(frame)).pack(sec, nanosec, len(frame) + 1, frame, len(labels))
    parts, position = [_ENCAPSULATION, head], len(head)
    rows = zip(boxes_cxcywh, scores.tolist(), map(str.encode, labels), map(str.encode, ids), strict=True)
    for (x, y, width, height), score, label, track_id in rows:
        layout = _detection(position % 8, len(frame), len(label), len(track_id))
        part = layout.pack(
            sec, nanosec, len(frame) + 1, frame, 1, len(label) + 1, label, score, 1.0, x, y, 0.0, width, height,
            len(track_id) + 1, track_id,
        )  # fmt: skip
        parts.append(part)
        position += len(part)
    return b"".join(parts)


class _Layout:
    """A `struct` format that grows field by field, with the padding that alignment asks for."""

    def __init__(self, start: int) -> None:
        self._format = "<"
        self._start = start

    def add(self, code: str, align: int) -> _Layout:
        position = self._start + struct.calcsize(self._format)
        self._format += f"{-position % align}x{code}"
        return self

    def add_string(self, length: int) -> _Layout:
        """Length with the closing zero, then the bytes and that zero."""
        return self.add("I", 4).add(f"{length + 1}s", 1)

    def done(self) -> struct.Struct:
        return struct.Struct(self._format)


@lru_cache(maxsize=16)
def _head(frame_length: int) -> struct.Struct:
    """Header and number of detections."""
    return _Layout(0).add("i", 4).add("I", 4).add_string(frame_length).add("I", 4).done()


@lru_cache(maxsize=4096)
def _detection(start: int, frame_length: int, label_length: int, id_length: int) -> struct.Struct:
    """One detection, with the padding before it.

    Args:
        start: Position of its first byte, modulo 8.
        frame_length: Bytes of `header.frame_id`.
        label_length: Bytes of `class_id`.
        id_length: Bytes of `id`.

    Returns:
        The layout of stamp, frame, number of hypotheses, class, score, w of the orientation, box and id; position,
        covariance and the rest of the orientation are zero.
    """
    layout = _Layout(start).add("i", 4).add("I", 4).add_string(frame_length).add("I", 4).add_string(label_length)
    layout.add("d", 8).add(f"{_POSITION_BYTES}x", 8).add(f"{3 * 8}x", 8).add("d", 8).add(f"{_COVARIANCE_BYTES}x", 8)
    return layout.add("5d", 8).add_string(id_length).done()
