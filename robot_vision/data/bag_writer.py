"""Writing of ROS 2 bags that appear under their name only when they are complete."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, InvalidValueError

if TYPE_CHECKING:
    from typing_extensions import Self

Storage = Literal["mcap", "sqlite3"]

_LOCK = ".lock"
_PLUGINS: dict[str, Any] = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
# RMW_DURATION_INFINITE, 2**63 - 1 nanoseconds.
_FOREVER = QosTime(9223372036, 854775807)


class BagWriter:
    """A new bag; a context manager.

    The bag grows in `<name>.part` and is renamed when the block ends without an error; otherwise it is removed, and
    what a killed process leaves is not named like a bag.

    Attributes:
        path: The bag.
        part: Folder in which it grows.

    Args:
        path: Folder to create.
        storage: `mcap` or `sqlite3`.

    Raises:
        BagError: If `path` exists or cannot be created.
        InvalidValueError: If `storage` is unknown.
    """

    def __init__(self, path: str | Path, storage: Storage = "mcap") -> None:
        self.path = Path(path)
        if storage not in _PLUGINS:
            raise InvalidValueError(f"storage: must be one of {', '.join(_PLUGINS)}; got {storage!r}")
        if self.path.exists():
            raise BagError(f"{self.path}: exists already and is not overwritten; remove it or choose another name")
        self.part = self.path.with_name(f"{self.path.name}.part")
        self._connections: dict[str, Any] = {}
        self._store = ros_typestore()
        try:
            self._lock = _locked(self.part)
            try:
                self._writer = Writer(self.part / self.path.name, version=9, storage_plugin=_PLUGINS[storage])
                self._writer.open()
            except BaseException:  # also a request to end, which may come before the block does
                shutil.rmtree(self.part, ignore_errors=True)
                self._lock.close()
                raise
        except OSError as error:
            raise BagError(f"{self.path}: the bag cannot be created: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def add_topic(self, topic: str, msgtype: str, *, latched: bool = False) -> None:
        """Declare a topic before its first message.

        Args:
            topic: Name, e.g. `/detections`.
            msgtype: Type as in `sensor_msgs/msg/Image`.
            latched: Whether late subscribers of a replay get the last message (transient local).

        Raises:
            InvalidValueError: If the topic was declared before or the type is unknown.
        """
        if topic in self._connections:
            raise InvalidValueError(f"{self.path}: topic {topic} was declared before")
        if msgtype not in self._store.types:
            raise InvalidValueError(f"{self.path}: message type {msgtype} of topic {topic} is unknown")
        self._connections[topic] = self._writer.add_connection(
            topic, msgtype, typestore=self._store, offered_qos_profiles=[_offered_qos(latched)]
        )

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Append one message.

        Args:
            topic: A declared topic.
            stamp_ns: Time of recording in integer nanoseconds.
            message: CDR bytes, or a message object of `ros_typestore().types`.

        Raises:
            InvalidValueError: If the topic was not declared, the stamp is negative or the message has another type.
            BagError: If the disk refuses.
        """
        connection = self._connections.get(topic)
        if connection is None:
            raise InvalidValueError(f"{self.path}: topic {topic} was not declared with add_topic")
        if stamp_ns < 0:
            raise InvalidValueError(f"{self.path}: a stamp cannot be negative, got {stamp_ns} on {topic}")
        try:
            self._writer.write(connection, stamp_ns, self._serialised(connection.msgtype, message))
        except OSError as error:
            raise BagError(f"{self.path}: the bag cannot be written: {error}") from error

    def _serialised(self, msgtype: str, message: Any) -> bytes | memoryview:
        if isinstance(message, (bytes, bytearray, memoryview)):
            return message if isinstance(message, memoryview) else bytes(message)
        given = getattr(message, "__msgtype__", type(message).__name__)
        if given != msgtype:
            raise InvalidValueError(f"{self.path}: expected a message of type {msgtype}, got {given}")
        serialised: memoryview = self._store.serialize_cdr(message, msgtype)
        return serialised

    def close(self) -> None:
        """Finish the bag and give it its name.

        Raises:
            BagError: If the disk refuses, or `path` came into being meanwhile.
        """
        try:
            self._writer.close()
            if self.path.exists():
                raise BagError(f"{self.path}: came into being while the bag was written; it stays in {self.part}")
            (self.part / self.path.name).rename(self.path)
            (self.part / _LOCK).unlink()
            self.part.rmdir()
            self._lock.close()
        except OSError as error:
            raise BagError(f"{self.path}: the bag cannot be finished: {error}") from error

    def abort(self) -> None:
        """Give the bag up and remove what was written."""
        self._writer.abort()
        shutil.rmtree(self.part, ignore_errors=True)
        self._lock.close()


def _locked(part: Path) -> TextIO:
    """An empty folder for an unfinished bag, and the lock that says that somebody is writing there.

    Raises:
        BagError: If somebody else is.
        OSError: If the folder cannot be made.
    """
    if part.exists():
        with (part / _LOCK).open("a", encoding="ascii") as left:
            _take(left, part)
            shutil.rmtree(part)
    part.mkdir(parents=True)
    lock = (part / _LOCK).open("a", encoding="ascii")
    _take(lock, part)
    return lock


def _take(lock: TextIO, part: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BagError(f"{part}: another process is writing this bag") from error


def _offered_qos(latched: bool) -> Qos:
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )
