"""What each stage publishes, the same in the composed node and in the apart ones."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node
from robot_vision_msgs.msg import LatentState, TrackArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from robot_vision.overlay import draw
from robot_vision.ros.cdr import detection_array_cdr
from robot_vision.ros.convert import image_from_rgb, jpeg_from_rgb, label_info, latent_state, track_array
from robot_vision.ros.qos import IMAGE_OUT_QOS, LATCHED_QOS, RESULT_QOS
from robot_vision.types import Detections, Frame, Latent, Tracks, TrackState


def of_camera(camera: str, name: str) -> str:
    """A relative name, below the camera's where there are several cameras.

    Args:
        camera: Name of the camera, or empty.
        name: Name of a topic, service or diagnostic status.
    """
    return f"{camera}/{name}" if camera else name


def class_labels(class_names: Sequence[str], class_id_format: str) -> tuple[str, ...]:
    """What `class_id` holds for each class number.

    Args:
        class_names: Names in the order of the class ids.
        class_id_format: `name` or `index`.
    """
    return tuple(class_names) if class_id_format == "name" else tuple(map(str, range(len(class_names))))


def serialised_detections(header: Header, detections: Detections, labels: Sequence[str]) -> bytes:
    """One image's detections as a serialised `Detection2DArray`.

    Args:
        header: Header of the image.
        detections: What was found.
        labels: Label of each class id.

    Returns:
        The message.
    """
    names = [labels[number] for number in detections.class_ids]
    return detection_array_cdr(header, detections.boxes_xyxy, detections.scores, names, [""] * len(names))


def serialised_tracks(header: Header, tracks: Tracks, labels: Sequence[str]) -> bytes:
    """One image's confirmed tracks as a serialised `Detection2DArray`.

    Args:
        header: Header of the image.
        tracks: All live tracks.
        labels: Label of each class id.

    Returns:
        The message.
    """
    confirmed = tracks.confirmed()
    names = [labels[number] for number in confirmed.class_ids]
    ids = [str(number) for number in confirmed.ids]
    return detection_array_cdr(header, confirmed.boxes_xyxy, confirmed.scores, names, ids)


def track_states(header: Header, tracks: Tracks, labels: Sequence[str]) -> TrackArray:
    """One image's tracks with all that is known of them, without those that have not proven themselves.

    Args:
        header: Header of the image.
        tracks: All live tracks.
        labels: Label of each class id.

    Returns:
        The message.
    """
    reported = tracks.select(tracks.states != TrackState.TENTATIVE)
    return track_array(header, reported, [labels[number] for number in reported.class_ids])


class DetectionOutput:
    """Publishes `detections` and, latched, `label_info`."""

    def __init__(self, node: Node, camera: str = "") -> None:
        """Create the publishers.

        Args:
            node: Node that owns them.
            camera: Name of the camera, if there are several.
        """
        self._node = node
        self._detections = node.create_publisher(Detection2DArray, of_camera(camera, "detections"), RESULT_QOS)
        self._label_info = node.create_publisher(LabelInfo, of_camera(camera, "label_info"), LATCHED_QOS)

    def publish_label_info(self, class_names: Sequence[str], threshold: float) -> None:
        """Publish the class map.

        Args:
            class_names: Names in the order of the class ids.
            threshold: Smallest score that is published.
        """
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._label_info.publish(label_info(class_names, threshold, header))

    def publish(self, header: Header, detections: Detections, labels: Sequence[str]) -> None:
        """Publish one frame's detections, also when there are none.

        Args:
            header: Header of the image.
            detections: What was found.
            labels: Label of each class id.
        """
        self._detections.publish(serialised_detections(header, detections, labels))


class TrackOutput:
    """Publishes `tracks` and `track_states`."""

    def __init__(self, node: Node, camera: str = "") -> None:
        """Create the publishers.

        Args:
            node: Node that owns them.
            camera: Name of the camera, if there are several.
        """
        self._tracks = node.create_publisher(Detection2DArray, of_camera(camera, "tracks"), RESULT_QOS)
        self._track_states = node.create_publisher(TrackArray, of_camera(camera, "track_states"), RESULT_QOS)

    def publish(self, header: Header, tracks: Tracks, labels: Sequence[str]) -> None:
        """Publish one frame's tracks, also when there are none.

        `tracks` holds the confirmed ones: seen in this frame, or hidden behind another object for less than
        `tracker.occlusion_time`. Lost ones are in `track_states` only, which also tells how long each was not seen.

        Args:
            header: Header of the image.
            tracks: All live tracks.
            labels: Label of each class id.
        """
        self._tracks.publish(serialised_tracks(header, tracks, labels))
        if self._track_states.get_subscription_count():
            self._track_states.publish(track_states(header, tracks, labels))


class LatentOutput:
    """Publishes `latent`."""

    def __init__(self, node: Node, camera: str = "") -> None:
        """Create the publisher.

        Args:
            node: Node that owns it.
            camera: Name of the camera, if there are several.
        """
        self._publisher = node.create_publisher(LatentState, of_camera(camera, "latent"), RESULT_QOS)

    def publish(self, header: Header, latent: Latent) -> None:
        """Publish one frame's latent.

        Args:
            header: Header of the image.
            latent: The encoder's result.
        """
        self._publisher.publish(latent_state(header, latent))


class AnnotatedOutput:
    """Publishes `annotated` and `annotated/compressed`, drawn only while somebody subscribes."""

    def __init__(self, node: Node, camera: str = "") -> None:
        """Create the publishers.

        Args:
            node: Node that owns them.
            camera: Name of the camera, if there are several.
        """
        topic = node.resolve_topic_name(of_camera(camera, "annotated"))
        self._raw = node.create_publisher(Image, topic, IMAGE_OUT_QOS)
        self._compressed = node.create_publisher(CompressedImage, f"{topic}/compressed", IMAGE_OUT_QOS)

    def publish(self, header: Header, frame: Frame, tracks: Tracks, labels: Sequence[str]) -> None:
        """Draw and publish, if anybody subscribes.

        Args:
            header: Header of the image.
            frame: The image.
            tracks: Tracks to draw.
            labels: Label of each class id.
        """
        as_raw, as_jpeg = (bool(topic.get_subscription_count()) for topic in (self._raw, self._compressed))
        if not as_raw and not as_jpeg:
            return
        drawn = draw(frame.rgb, tracks.confirmed(), labels)
        if as_raw:
            self._raw.publish(image_from_rgb(drawn, header))
        if as_jpeg:
            self._compressed.publish(jpeg_from_rgb(drawn, header))
