"""Bags with the definitions of their messages: what one was recorded with, and what a new one is given."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.bags import BagReader, latched_depth
from robot_vision.data.type_layout import Fields, fields_of_rosbags
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, InvalidValueError


class RecordedStream(NamedTuple):
    """The messages of one type on one topic of a bag.

    Attributes:
        topic: Name as recorded.
        msgtype: Type as in `sensor_msgs/msg/Image`.
        message_count: Number of messages.
        latched: How many messages late subscribers got (transient local; in ROS 1 latching); 0 if none.
    """

    topic: str
    msgtype: str
    message_count: int
    latched: int


class DescribedBag(BagReader):
    """A bag that also says how its messages are defined.

    Args:
        path: As for `BagReader`.

    Raises:
        BagError: As for `BagReader`.
    """

    @property
    def is_ros1(self) -> bool:
        """Whether it was recorded with ROS 1."""
        return bool(self._is_ros1)

    @property
    def start_ns(self) -> int:
        """Time of the first message of any topic in nanoseconds; 0 if there is none."""
        return min((int(reader.start_time) for reader in self._readers if reader.message_count), default=0)

    def streams(self) -> list[RecordedStream]:
        """Topics and types that have messages, in alphabetical order."""
        filled = sorted((c for c in self._connections if c.msgcount), key=_stream_key)
        streams = []
        for (topic, msgtype), group in groupby(filled, key=_stream_key):
            connections = list(group)
            count = sum(connection.msgcount for connection in connections)
            streams.append(RecordedStream(topic, msgtype, count, sum(map(latched_depth, connections))))
        return streams

    def fields(self, msgtype: str) -> Fields | None:
        """Fields of a type as this bag defines it.

        Args:
            msgtype: Type as in `sensor_msgs/msg/Image`.

        Returns:
            The fields, None if the bag does not define the type.

        Raises:
            BagError: If a definition in the bag is damaged.
        """
        if self._definitions is None:
            try:
                self._definitions = self._read_definitions()
            except Exception as error:  # damaged text surfaces as many kinds of error
                raise BagError(f"{self.path}: the message definitions in this bag are damaged: {error}") from error
        definition = self._definitions.get(msgtype)
        return None if definition is None else fields_of_rosbags(definition)

    _definitions: Mapping[str, Any] | None = None

    def _read_definitions(self) -> Mapping[str, Any]:
        described = {c.msgtype: c.msgdef for c in self._connections if c.msgdef.format != MessageDefinitionFormat.NONE}
        if not described:
            return {}
        if not self._is_ros1:
            return dict(self._types().fielddefs)
        found: dict[str, Any] = {}
        for msgtype, definition in described.items():
            found.update(get_types_from_msg(definition.data, msgtype))
        return found


def _stream_key(connection: Any) -> tuple[str, str]:
    return str(connection.topic), str(connection.msgtype)


def known_fields(msgtype: str) -> Fields | None:
    """Fields of a type as `ros_typestore` defines it, which is what messages of ROS 1 are converted to.

    Args:
        msgtype: Type as in `sensor_msgs/msg/Image`.

    Returns:
        The fields, None if it does not have the type.
    """
    definition = ros_typestore().fielddefs.get(msgtype)
    return None if definition is None else fields_of_rosbags(definition)


class DescribingWriter(BagWriter):
    """A new bag that also takes types which `ros_typestore` does not have; see `BagWriter`."""

    def knows(self, msgtype: str) -> bool:
        """Whether a topic of a type can be added.

        Args:
            msgtype: Type as in `sensor_msgs/msg/Image`.
        """
        return msgtype in self._store.types

    def define(self, definitions: Mapping[str, str]) -> None:
        """Make types known.

        Args:
            definitions: Text of the `.msg` file by type; types that are known already keep their definition.

        Raises:
            InvalidValueError: If a definition is not understood.
        """
        parsed: dict[str, Any] = {}
        try:
            for msgtype, text in definitions.items():
                parsed.update(get_types_from_msg(text, msgtype))
            store = get_typestore(Stores.EMPTY)
            store.register({**parsed, **self._store.fielddefs})
        except TypesysError as error:
            raise InvalidValueError(f"definition of {', '.join(definitions)} is not understood: {error}") from error
        self._store = store
