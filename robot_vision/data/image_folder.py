"""Folders of images as camera recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from robot_vision.data.bags import RawMessage
from robot_vision.data.image_file import IMAGE_SUFFIXES, read_rgb
from robot_vision.data.video import FIRST_STAMP_NS, FRAME_ID, PICTURE_TOPIC, PICTURE_TYPE, image_message
from robot_vision.errors import BagError, FrameError
from robot_vision.types import Frame

RATE_HZ = 10.0
"""Images a second, which a folder does not tell."""


def image_files(folder: Path) -> tuple[Path, ...]:
    """The images of a folder, by name.

    Args:
        folder: A folder.
    """
    return tuple(sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES))


def holds_images(path: Path) -> bool:
    """Whether a path is a folder of images, and no bag.

    Args:
        path: Any path.
    """
    return path.is_dir() and not (path / "metadata.yaml").exists() and bool(image_files(path))


class ImageFolderSource:
    """The images of a folder in the order of their names, `RATE_HZ` a second; see `ImageSource` for the attributes.

    Args:
        path: Folder with at least one image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topic = PICTURE_TOPIC
        self.msgtype = PICTURE_TYPE
        self._files = image_files(path)
        self.count = len(self._files)
        self.rate_hz = RATE_HZ
        self.duration_s = max(0, self.count - 1) / RATE_HZ
        self.note = f"a folder of images has no times: {RATE_HZ:g} a second"

    def messages(self) -> Iterator[RawMessage]:
        """Serialised rgb8 `sensor_msgs/Image` messages.

        Yields:
            One `RawMessage` at a time, recorded at the image's stamp.

        Raises:
            FrameError: If an image cannot be read.
        """
        for stamp_ns, frame in self.recorded_frames():
            yield image_message(frame.rgb, "rgb8", stamp_ns)

    def frames(self, on_bad_frame: Callable[[FrameError], None] | None = None) -> Iterator[Frame]:
        """The images in the order of their names.

        Args:
            on_bad_frame: Called with the error of a file that cannot be read, which is then skipped; None lets the
                error end the reading.

        Yields:
            One `Frame` at a time.

        Raises:
            FrameError: If an image cannot be read and `on_bad_frame` is None.
        """
        for _, frame in self.recorded_frames(on_bad_frame):
            yield frame

    def recorded_frames(self, on_bad_frame: Callable[[FrameError], None] | None = None) -> Iterator[tuple[int, Frame]]:
        """As `frames`, each with its stamp in nanoseconds.

        Args:
            on_bad_frame: As for `frames`.

        Yields:
            Time in nanoseconds and the frame.

        Raises:
            FrameError: If an image cannot be read and `on_bad_frame` is None.
        """
        for stamp_ns, file in zip(self.stamps_ns(), self._files, strict=True):
            try:
                rgb = read_rgb(file)
            except BagError as error:
                if on_bad_frame is None:
                    raise FrameError(str(error)) from error
                on_bad_frame(FrameError(str(error)))
                continue
            yield stamp_ns, Frame(rgb, stamp_ns, FRAME_ID)

    def stamps_ns(self) -> list[int]:
        """Time of every image in nanoseconds."""
        return [FIRST_STAMP_NS + round(index * 1e9 / RATE_HZ) for index in range(self.count)]
