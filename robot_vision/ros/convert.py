"""The two crossings between ROS messages and the values of `robot_vision.types`: in once, out once."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import cv2
import numpy as np
from robot_vision_msgs.msg import LatentState, Track, TrackArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo, VisionClass

from robot_vision.errors import FrameError
from robot_vision.geometry import xyxy_to_cxcywh
from robot_vision.image_codec import decode_compressed, decode_image, supported_encodings
from robot_vision.types import Detections, Frame, Latent, Tracks, UInt8Array

try:
    from cv_bridge import CvBridge
except ImportError:
    CvBridge = None


JPEG_QUALITY = 80
"""Of images for people; the scale of libjpeg, 0 to 100."""

DEPTH_ENCODINGS = frozenset({"16UC1", "32FC1"})
"""Images of distances, which no camera stage can use."""


def stamp_ns(header: Header) -> int:
    """The header's time in integer nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def frame_from_image(message: Image) -> Frame:
    """An uncompressed image as a frame, as a view on the message's buffer where the encoding allows it.

    Args:
        message: Image in any common encoding; others go through cv_bridge where it is installed.

    Returns:
        The frame; it keeps the message's buffer alive.

    Raises:
        FrameError: If the encoding is unknown, or sizes and data contradict one another.
    """
    if CvBridge is not None and message.encoding not in supported_encodings() | DEPTH_ENCODINGS:
        _check_length(message)
        return _frame(_through_cv_bridge(message), message.header)
    rgb = decode_image(
        message.encoding, message.height, message.width, message.step, bool(message.is_bigendian), message.data
    )
    return _frame(rgb, message.header)


def frame_from_compressed(message: CompressedImage) -> Frame:
    """A JPEG, PNG or other compressed image as a frame.

    Args:
        message: Compressed image.

    Returns:
        The frame.

    Raises:
        FrameError: If the data cannot be decoded.
    """
    return _frame(decode_compressed(message.format, message.data), message.header)


def _frame(rgb: UInt8Array, header: Header) -> Frame:
    return Frame(rgb, stamp_ns(header), header.frame_id)


def _check_length(message: Image) -> None:
    """See that the data are there, before anything of the size that is claimed is allocated.

    Raises:
        FrameError: If they are not.
    """
    needed, given = message.step * message.height, len(message.data)
    if not 0 < message.width <= message.step or not 0 < needed <= given:
        raise FrameError(
            f"image of encoding {message.encoding}, {message.width}x{message.height} pixels, step {message.step}: "
            f"expected at least a byte a pixel and {needed} bytes (step x height), got {given}"
        )


def _through_cv_bridge(message: Image) -> UInt8Array:
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding="rgb8"), dtype=np.uint8)
    except Exception as error:
        raise FrameError(
            f"image encoding {message.encoding!r} is not supported, not even by cv_bridge: {error}"
        ) from error


def image_from_rgb(rgb: UInt8Array, header: Header) -> Image:
    """An rgb8 image message.

    Args:
        rgb: (H, W, 3) uint8.
        header: Header to carry.

    Returns:
        The message; its data is a copy.
    """
    height, width = rgb.shape[:2]
    # Through a memoryview: assigning a list or bytes would check and copy value by value.
    data = array("B")
    data.frombytes(memoryview(np.ascontiguousarray(rgb)).cast("B"))
    return Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data)


def jpeg_from_rgb(rgb: UInt8Array, header: Header) -> CompressedImage:
    """A JPEG message, named as image_transport names it.

    Args:
        rgb: (H, W, 3) uint8, at most 65,500 pixels wide or high.
        header: Header to carry.

    Returns:
        The message.
    """
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    data = array("B", encoded.tobytes())
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data)


def label_info(class_names: Sequence[str], threshold: float, header: Header) -> LabelInfo:
    """The class map message.

    Args:
        class_names: Names in the order of the class ids.
        threshold: Smallest score that is published.
        header: Header to carry.

    Returns:
        The message.
    """
    class_map = [VisionClass(class_id=number, class_name=name) for number, name in enumerate(class_names)]
    return LabelInfo(header=header, class_map=class_map, threshold=threshold)


def detections_from_message(message: Detection2DArray, class_ids: dict[str, int]) -> Detections:
    """Detections as values.

    Args:
        message: Detections of one frame; those without a hypothesis are left out.
        class_ids: Number of each label; unseen labels are added with the next number.

    Returns:
        The detections in the message's order.
    """
    found = [detection for detection in message.detections if detection.results]
    if not found:
        return Detections.empty()
    rows = [
        (
            d.bbox.center.position.x,
            d.bbox.center.position.y,
            d.bbox.size_x,
            d.bbox.size_y,
            d.results[0].hypothesis.score,
        )
        for d in found
    ]
    values = np.array(rows, dtype=np.float64)
    half_wh = values[:, 2:4] / 2
    boxes_xyxy = np.concatenate([values[:, :2] - half_wh, values[:, :2] + half_wh], axis=1).astype(np.float32)
    numbers = [class_ids.setdefault(d.results[0].hypothesis.class_id, len(class_ids)) for d in found]
    return Detections(boxes_xyxy, values[:, 4].astype(np.float32), np.array(numbers, dtype=np.int64))


def track_array(header: Header, tracks: Tracks, labels: Sequence[str]) -> TrackArray:
    """Full track states as a message.

    Args:
        header: Header of the image.
        tracks: Tracks to report.
        labels: Their `class_id` strings, one a track.

    Returns:
        The message.
    """
    boxes_cxcywh = xyxy_to_cxcywh(tracks.boxes_xyxy.astype(np.float64)).tolist()
    covariances = tracks.covariances.reshape(-1, 16).astype(np.float64)
    message = TrackArray(header=header)
    for row, label in enumerate(labels):
        track = Track(
            id=str(tracks.ids[row]),
            class_id=label,
            score=float(tracks.scores[row]),
            velocity_x=float(tracks.velocities_xy[row, 0]),
            velocity_y=float(tracks.velocities_xy[row, 1]),
            age=float(tracks.ages_s[row]),
            time_since_seen=float(tracks.times_since_seen_s[row]),
            state=int(tracks.states[row]),
            covariance=covariances[row],
        )
        track.bbox.center.position.x, track.bbox.center.position.y = boxes_cxcywh[row][:2]
        track.bbox.size_x, track.bbox.size_y = boxes_cxcywh[row][2:]
        message.tracks.append(track)
    return message


def latent_state(header: Header, latent: Latent) -> LatentState:
    """A latent as a message.

    Args:
        header: Header of the image.
        latent: The encoder's result.

    Returns:
        The message.
    """
    return LatentState(
        header=header,
        mean=array("f", latent.mean.tobytes()),
        log_variance=array("f", latent.log_variance.tobytes()),
        encoder=latent.encoder,
        encoder_hash=latent.encoder_hash,
        novelty=latent.novelty,
    )
