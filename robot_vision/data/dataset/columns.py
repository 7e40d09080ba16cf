"""Columns of a data set: what the messages of one topic become."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.data.bags import BagReader
from robot_vision.data.dataset.flatten import flat_layout
from robot_vision.data.dataset.scan import TopicTimes
from robot_vision.data.dataset.settings import ACTION, OBSERVATION, DatasetSettings, TopicSpec
from robot_vision.data.sources import COMPRESSED_IMAGE, IMAGE, frame_of
from robot_vision.errors import BagError, EncoderMismatchError, FrameError, InvalidValueError
from robot_vision.tracking.features import TRACK_FEATURES, TrackFeatures, track_rows

LATENT = "robot_vision_msgs/msg/LatentState"
TRACKS = "robot_vision_msgs/msg/TrackArray"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_LABEL_INFO = "vision_msgs/msg/LabelInfo"
_TRACK_UNITS = "image widths, heights, widths, heights, widths/s, heights/s, index, s"

Arrays = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Feature:
    """One column.

    Attributes:
        name: As in `observation.latent`.
        dtype: Name of the numpy type.
        shape: Shape of one step's value.
        names: Labels of the values along the last axis; empty for pictures.
        unit: What the values are measured in.
        topic: Where they come from.
        msgtype: Its type.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    unit: str
    topic: str
    msgtype: str


class TopicColumns(Protocol):
    """Turns the messages of one topic into arrays.

    Attributes:
        features: The columns.
        facts: What must be the same in every bag and is kept with the data set.
    """

    features: tuple[Feature, ...]
    facts: dict[str, Any]

    def decode(self, message: Any) -> Arrays | None:
        """One array a column; None if the message cannot be used, as one with a NaN.

        Args:
            message: Read from a bag.

        Raises:
            RobotVisionError: If the message contradicts the columns.
        """


def open_columns(bag: BagReader, spec: TopicSpec, times: TopicTimes, settings: DatasetSettings) -> TopicColumns:
    """The columns of one topic of a bag.

    Args:
        bag: An open bag.
        spec: The topic, and what of it is wanted.
        times: Its times, with its first message.
        settings: The rules.

    Returns:
        The columns.

    Raises:
        InvalidValueError: If the topic's type gives no column, or the settings lack what it needs.
        BagError: If what is needed is not in the bag.
    """
    name = ACTION if spec in settings.actions else f"{OBSERVATION}.{spec.name or _derived_name(times, settings)}"
    if times.msgtype == LATENT:
        return LatentColumns(name, spec, times)
    if spec.fields and times.msgtype in (TRACKS, IMAGE, COMPRESSED_IMAGE):
        raise InvalidValueError(f"{spec}: a {times.msgtype} is taken whole, without fields")
    if times.msgtype == TRACKS:
        return TrackColumns(name, times, _track_features(bag, settings))
    if times.msgtype in (IMAGE, COMPRESSED_IMAGE):
        if settings.image_size_wh is None:
            raise InvalidValueError(f"{spec.topic}: pictures need a size in the data set")
        return ImageColumns(name, times, settings.image_size_wh)
    return NumberColumns(name, spec, times, settings.padding.get(spec.topic, 0))


def _derived_name(times: TopicTimes, settings: DatasetSettings) -> str:
    """`latent` and `tracks` for the topics that the nodes publish under these names, else the topic's own."""
    plain = {LATENT: "latent", TRACKS: "tracks"}.get(times.msgtype)
    if plain and not any(spec.name == plain for spec in settings.observations):
        return plain
    joined = times.topic.strip("/").replace("/", "_")
    return f"images.{joined}" if times.msgtype in (IMAGE, COMPRESSED_IMAGE) else joined


class NumberColumns:
    """Any message with numbers, by the rules of `flatten`; see `TopicColumns` for the attributes."""

    def __init__(self, name: str, spec: TopicSpec, times: TopicTimes, pad: int = 0, unit: str = "as recorded") -> None:
        self._layout = flat_layout(spec.topic, times.first, spec.fields, pad)
        names, dtype, origin = self._layout.names, np.dtype(self._layout.dtype).name, (times.topic, times.msgtype)
        features = [Feature(name, dtype, (len(names),), names, unit, *origin)]
        if pad:
            features.append(Feature(f"{name}_mask", "int8", (len(names),), names, "1 where there is a value", *origin))
        self.features: tuple[Feature, ...] = tuple(features)
        self.facts: dict[str, Any] = {"left_out": list(self._layout.left_out)}
        if self._layout.texts:
            self.facts["names"] = {path: list(entries) for path, entries in self._layout.texts.items()}

    def decode(self, message: Any) -> Arrays | None:
        """See `TopicColumns`."""
        values, mask = self._layout.vector(message)
        return (values, mask)[: len(self.features)] if np.isfinite(values).all() else None


class LatentColumns(NumberColumns):
    """The mean, or the wanted fields, of the latents of one encoder; see `TopicColumns` for the attributes."""

    def __init__(self, name: str, spec: TopicSpec, times: TopicTimes) -> None:
        super().__init__(name, replace(spec, fields=spec.fields or ("mean",)), times, unit="none")
        self.facts |= {"encoder": times.first.encoder, "encoder_hash": times.first.encoder_hash}
        self._topic = times.topic

    def decode(self, message: Any) -> Arrays | None:
        """See `TopicColumns`."""
        if message.encoder_hash != self.facts["encoder_hash"]:
            raise EncoderMismatchError(
                f"{self._topic}: latents of two encoders in one bag, {self.facts['encoder']} with encoder_hash "
                f"{self.facts['encoder_hash']} and {message.encoder} with {message.encoder_hash}; encode it anew with "
                "`robot_vision process`"
            )
        return super().decode(message)


class TrackColumns:
    """Tracks in the rows that `rl.LatentObservation` gives an agent, and ids; see `TopicColumns` for the attributes."""

    def __init__(self, name: str, times: TopicTimes, features: TrackFeatures) -> None:
        self._tracks, self._topic = features, times.topic
        rows, single, origin = features.max_tracks, name.removesuffix("s"), (times.topic, times.msgtype)
        self.features: tuple[Feature, ...] = (
            Feature(name, "float32", (rows, len(TRACK_FEATURES)), TRACK_FEATURES, _TRACK_UNITS, *origin),
            Feature(f"{single}_mask", "int8", (rows,), (), "1 where a row holds a track", *origin),
            Feature(f"{single}_ids", "int64", (rows,), (), "id of the track, -1 where there is none", *origin),
        )
        self.facts: dict[str, Any] = {
            "class_names": list(features.class_names),
            "source_size_wh": list(features.size_wh),
        }

    def decode(self, message: Any) -> Arrays | None:
        """See `TopicColumns`."""
        tracks = track_rows(message, self._tracks.class_names)
        if not np.isfinite(tracks).all():
            return None
        ids = np.full(self._tracks.max_tracks, -1, np.int64)
        for row, index in enumerate(self._tracks.kept(tracks)):
            text = message.tracks[index].id
            if not text.isdecimal():
                raise InvalidValueError(f"{self._topic}: track id {text!r} is no decimal number")
            ids[row] = int(text)
        return (*self._tracks.array(tracks), ids)


class ImageColumns:
    """Pictures of one size, stretched to it; see `TopicColumns` for the attributes."""

    def __init__(self, name: str, times: TopicTimes, size_wh: tuple[int, int]) -> None:
        self._topic, self._size_wh = times.topic, size_wh
        self._source_wh: tuple[int, int] | None = None
        shape = (size_wh[1], size_wh[0], 3)
        self.features: tuple[Feature, ...] = (Feature(name, "uint8", shape, (), "RGB", times.topic, times.msgtype),)
        self.facts: dict[str, Any] = {}

    def decode(self, message: Any) -> Arrays | None:
        """See `TopicColumns`."""
        try:
            frame = frame_of(message)
        except FrameError:
            return None
        self._source_wh = self._source_wh or frame.size_wh
        if frame.size_wh != self._source_wh:
            before, now = ("x".join(map(str, size)) for size in (self._source_wh, frame.size_wh))
            raise InvalidValueError(
                f"{self._topic}: its pictures change from {before} to {now} pixels at {frame.stamp_ns} ns"
            )
        shrinks = self._size_wh[0] <= frame.size_wh[0] and self._size_wh[1] <= frame.size_wh[1]
        resized = cv2.resize(frame.rgb, self._size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return (np.asarray(resized, np.uint8),)


def _track_features(bag: BagReader, settings: DatasetSettings) -> TrackFeatures:
    size_wh = settings.source_size_wh or _source_size_wh(bag)
    return TrackFeatures(size_wh, settings.class_names or _class_names(bag), settings.max_tracks)


def _source_size_wh(bag: BagReader) -> tuple[int, int]:
    """Size of the camera's images, as the bag's cameras agree on it."""
    sizes = set()
    for topic, message in _first_messages(bag, (IMAGE, COMPRESSED_IMAGE, _CAMERA_INFO)):
        is_compressed = message.__msgtype__ == COMPRESSED_IMAGE
        try:
            sizes.add(frame_of(message).size_wh if is_compressed else (message.width, message.height))
        except FrameError as error:
            raise BagError(f"{bag.path}: {topic}: {error}") from error
    if len(sizes) != 1:
        found = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)) or "none"
        raise BagError(
            f"{bag.path}: tracks are in units of their image's size, and the bag's cameras give {found}; say which"
        )
    return sizes.pop()


def _class_names(bag: BagReader) -> tuple[str, ...]:
    """Labels in the order of their indices, as the bag's class maps agree on them."""
    maps = {
        tuple(entry.class_name for entry in sorted(message.class_map, key=lambda entry: entry.class_id))
        for _, message in _first_messages(bag, (_LABEL_INFO,))
    }
    if len(maps) != 1:
        found = "; ".join(map(", ".join, sorted(maps))) or "none"
        raise BagError(
            f"{bag.path}: tracks are numbered by the classes of one LabelInfo, of which the bag has {found}; name them"
        )
    return maps.pop()


def _first_messages(bag: BagReader, msgtypes: Collection[str]) -> Iterator[tuple[str, Any]]:
    for topic in bag.topics.values():
        if topic.msgtype in msgtypes and topic.message_count:
            yield topic.name, next(bag.messages(topic.name))[1]
