"""The tracker with what it may look at besides boxes: the image's motion and the looks of objects."""

from __future__ import annotations

from robot_vision.latent.crops import CropEncoder
from robot_vision.params import TrackerParams
from robot_vision.tracking.camera_motion import CameraMotion
from robot_vision.tracking.tracker import Tracker
from robot_vision.types import Detections, Float32Array, Float64Array, Frame, Tracks


class Follower:
    """Follows the objects of one camera, live or in a recording; for one thread.

    Attributes:
        tracker: The tracker.
        camera_motion: Estimates the camera's motion from the images.
        crops: Tells the looks of objects; None where no appearance model is asked for.

    Args:
        params: Tracker settings.
        crops: From `open_crop_encoders`.
    """

    def __init__(self, params: TrackerParams, crops: CropEncoder | None) -> None:
        self.tracker = Tracker(params)
        self.camera_motion = CameraMotion()
        self.crops = crops
        self._last_ns = 0

    def reset(self) -> None:
        """End all tracks."""
        self.tracker.reset()
        self.camera_motion.reset()

    def update(self, frame: Frame | None, stamp_ns: int, detections: Detections) -> Tracks:
        """Take in one frame.

        Args:
            frame: The image, where it is known; `camera_motion: flow` and the looks of objects need it.
            stamp_ns: Time of the frame in ns.
            detections: What was found in it, also when empty.

        Returns:
            All live tracks.
        """
        return self.tracker.update(
            detections, stamp_ns, self._motion(frame, stamp_ns, detections), self._looks(frame, detections)
        )

    def _motion(self, frame: Frame | None, stamp_ns: int, detections: Detections) -> Float64Array | None:
        """What the image says about the camera's motion since the frame before; None if it is not asked."""
        params = self.tracker.params
        if frame is None or params.camera_motion != "flow":
            self.camera_motion.reset()
            return None
        if stamp_ns < self._last_ns:
            self.camera_motion.reset()
        self._last_ns = stamp_ns
        boxes = detections.boxes_xyxy[detections.scores >= params.low_threshold]
        return self.camera_motion.estimate(frame.rgb, boxes)

    def _looks(self, frame: Frame | None, detections: Detections) -> Float32Array | None:
        """Embeddings of the detections; None if looks do not count."""
        params = self.tracker.params
        if self.crops is None or frame is None or params.appearance_weight == 0.0:
            return None
        return self.crops.encode(frame, detections, params.low_threshold)
