"""Where camera frames come from offline: bags, videos and folders of images behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from robot_vision.data.bags import BagReader, RawMessage, TopicSummary
from robot_vision.data.image_folder import ImageFolderSource, holds_images
from robot_vision.data.video import VIDEO_SUFFIXES, VideoSource
from robot_vision.errors import BagError, FrameError
from robot_vision.image_codec import decode_compressed, decode_image
from robot_vision.types import Frame

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

FrameErrorHandler = Callable[[FrameError], None]


class ImageSource(Protocol):
    """A recording of one camera, which can be read any number of times.

    Attributes:
        path: The bag or video.
        topic: Image topic; of a video a fixed name.
        msgtype: `sensor_msgs/msg/Image` or `sensor_msgs/msg/CompressedImage`.
        count: Number of images.
        duration_s: Length of the recording in seconds.
        rate_hz: Mean images a second; 0 if there are fewer than two.
        note: What was chosen where there was a choice, for the user; else empty.
    """

    path: Path
    topic: str
    msgtype: str
    count: int
    duration_s: float
    rate_hz: float
    note: str

    def messages(self) -> Iterator[RawMessage]:
        """Serialised image messages in the order of recording."""

    def frames(self, on_bad_frame: FrameErrorHandler | None = None) -> Iterator[Frame]:
        """Decoded images in the order of recording.

        Args:
            on_bad_frame: Called with the error of a message that cannot become a frame, which is then skipped;
                None lets the error end the reading.
        """

    def recorded_frames(self, on_bad_frame: FrameErrorHandler | None = None) -> Iterator[tuple[int, Frame]]:
        """As `frames`, each with the time of its recording in nanoseconds."""

    def stamps_ns(self) -> list[int]:
        """Capture time of every image in the order of recording, without decoding any."""


class BagImageSource:
    """The images of one topic of a bag; see `ImageSource` for the attributes."""

    def __init__(self, path: Path, topic: TopicSummary, duration_s: float, note: str) -> None:
        self.path = path
        self.topic = topic.name
        self.msgtype = topic.msgtype
        self.count = topic.message_count
        self.duration_s = duration_s
        self.rate_hz = (self.count - 1) / duration_s if self.count > 1 and duration_s > 0 else 0.0
        self.note = note

    def messages(self) -> Iterator[RawMessage]:
        """Serialised image messages in the order of recording.

        Yields:
            One `RawMessage` at a time.

        Raises:
            BagError: If the bag is damaged at some place.
        """
        with BagReader(self.path) as bag:
            yield from bag.raw([self.topic])

    def frames(self, on_bad_frame: FrameErrorHandler | None = None) -> Iterator[Frame]:
        """Decoded images in the order of recording.

        Args:
            on_bad_frame: Called with the error of a message that cannot become a frame, which is then skipped;
                None lets the error end the reading.

        Yields:
            One `Frame` at a time; its stamp is that of the message's header.

        Raises:
            BagError: If the bag is damaged at some place.
            FrameError: If an image cannot be decoded and `on_bad_frame` is None.
        """
        for _, frame in self.recorded_frames(on_bad_frame):
            yield frame

    def recorded_frames(self, on_bad_frame: FrameErrorHandler | None = None) -> Iterator[tuple[int, Frame]]:
        """As `frames`, each with the time of its recording.

        Args:
            on_bad_frame: As for `frames`.

        Yields:
            Time of recording in nanoseconds and the frame.

        Raises:
            BagError: If the bag is damaged at some place.
            FrameError: If an image cannot be decoded and `on_bad_frame` is None.
        """
        with BagReader(self.path) as bag:
            for index, message in enumerate(bag.raw([self.topic])):
                try:
                    frame = frame_of(bag.deserialise(message))
                except (FrameError, BagError) as error:
                    located = FrameError(f"{self.path}, {self.topic}, message {index}: {error}")
                    if on_bad_frame is None:
                        raise (located if isinstance(error, FrameError) else error) from error
                    on_bad_frame(located)
                    continue
                yield message.stamp_ns, frame

    def stamps_ns(self) -> list[int]:
        """Header stamp of every image in the order of recording, without decoding any.

        Raises:
            BagError: If the bag is damaged at some place.
        """
        with BagReader(self.path) as bag:
            return [stamp_ns(message.header) for _, message in bag.messages(self.topic)]


def stamp_ns(header: Any) -> int:
    """The time of a std_msgs/Header in integer nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def frame_of(message: Any) -> Frame:
    """A frame of an image message read from a bag.

    Args:
        message: An Image or CompressedImage object of rosbags.

    Returns:
        The decoded frame with the header's stamp and frame id.

    Raises:
        FrameError: If the image cannot be decoded.
    """
    if message.__msgtype__ == COMPRESSED_IMAGE:
        rgb = decode_compressed(message.format, message.data)
    else:
        rgb = decode_image(
            message.encoding, message.height, message.width, message.step, bool(message.is_bigendian), message.data
        )
    return Frame(rgb, stamp_ns(message.header), message.header.frame_id)


def open_source(path: str | Path, topic: str | None = None) -> ImageSource:
    """The camera recording at a path, checked to hold images.

    Args:
        path: Bag folder, .mcap, .db3 or .bag file, a video, or a folder of images.
        topic: Image topic of a bag; None takes the only one, or the first by name of several and says so in `note`.

    Returns:
        The source; nothing is held open until it is read.

    Raises:
        BagError: If the recording is missing or damaged, holds no images, or not that topic.
    """
    location = Path(path)
    if location.suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(location)
    if holds_images(location):
        return ImageFolderSource(location)
    with BagReader(location) as bag:
        found = bag.topics
        duration_s = bag.duration_s
    chosen, note = _choose(location, found, topic)
    return BagImageSource(location, chosen, duration_s, note)


def _choose(path: Path, found: dict[str, TopicSummary], wanted: str | None) -> tuple[TopicSummary, str]:
    images = [entry for entry in found.values() if entry.msgtype in (IMAGE, COMPRESSED_IMAGE)]
    listed = ", ".join(f"{entry.name} ({entry.msgtype}, {entry.message_count} messages)" for entry in found.values())
    filled = [entry for entry in images if entry.message_count]
    if not filled:
        what = "its image topics have no message" if images else "it has no image topic"
        raise BagError(f"{path}: this bag holds no images, {what}; its topics are: {listed or 'none'}")
    names = ", ".join(entry.name for entry in filled)
    if wanted is None:
        several = f"several image topics, taking {filled[0].name} of {names}" if len(filled) > 1 else ""
        return filled[0], several
    for entry in filled:
        if entry.name == wanted:
            return entry, ""
    raise BagError(f"{path}: no images on topic {wanted}; its image topics are: {names}; all its topics are: {listed}")
