"""The two crossings between ROS messages and the values of `robot_vision.types`: in once, out once."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from robot_vision_msgs.msg import LatentState, Track, TrackArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from robot_vision.errors import FrameError
from robot_vision.image_codec import decode_compressed, decode_image, supported_encodings
from robot_vision.types import Detections, Float32Array, Frame, Latent, Tracks, UInt8Array

try:
    from cv_bridge import CvBridge
except ImportError:
    CvBridge = None


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


class DetectionArrayWriter:
    """Fills `Detection2DArray` messages; the parts are built once and used again, since building them dominates.

    A message is valid until the next call, which is all that publishing needs.
    """

    def __init__(self) -> None:
        self._message = Detection2DArray()
        self._pool: list[Detection2D] = []

    def write(
        self, header: Header, boxes_xyxy: Float32Array, scores: Float32Array, labels: Sequence[str], ids: Sequence[str]
    ) -> Detection2DArray:
        """The message for one frame.

        Args:
            header: Header of the image; the array and every detection carry it.
            boxes_xyxy: (N, 4) float32 in source pixels.
            scores: (N,) float32.
            labels: N values for `class_id`.
            ids: N track ids, or N empty strings.

        Returns:
            The message, owned by this writer.
        """
        while len(self._pool) < len(labels):
            self._pool.append(Detection2D(results=[ObjectHypothesisWithPose()]))
        detections = self._pool[: len(labels)]
        centers, sizes = _centers_and_sizes(boxes_xyxy)
        rows = zip(detections, centers, sizes, scores.tolist(), labels, ids, strict=True)
        for detection, center_xy, size_wh, score, label, track_id in rows:
            detection.header = header
            detection.id = track_id
            detection.bbox.center.position.x, detection.bbox.center.position.y = center_xy
            detection.bbox.size_x, detection.bbox.size_y = size_wh
            hypothesis = detection.results[0].hypothesis
            hypothesis.class_id = label
            hypothesis.score = score
        self._message.header = header
        self._message.detections = detections
        return self._message


def _centers_and_sizes(boxes_xyxy: Float32Array) -> tuple[list[list[float]], list[list[float]]]:
    # In float64 centre and size hold a float32 box without loss, so that a reader gets the same corners back.
    corners = boxes_xyxy.astype(np.float64)
    return ((corners[:, :2] + corners[:, 2:]) / 2).tolist(), (corners[:, 2:] - corners[:, :2]).tolist()


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
    centers, sizes = _centers_and_sizes(tracks.boxes_xyxy)
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
        track.bbox.center.position.x, track.bbox.center.position.y = centers[row]
        track.bbox.size_x, track.bbox.size_y = sizes[row]
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
