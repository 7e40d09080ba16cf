"""Reading of recorded bags: ROS 2 (sqlite3, mcap) as folder or bare file, and ROS 1, behind one reader."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rosbags import rosbag1, rosbag2
from rosbags.interfaces import Connection, ConnectionExtRosbag1, QosDurability

from robot_vision.data.typestore import ros_typestore, typestore_for
from robot_vision.errors import BagError

if TYPE_CHECKING:
    from typing_extensions import Self

_STORAGE_SUFFIXES = (".mcap", ".db3")
_MCAP_MAGIC = b"\x89MCAP0\r\n"
_ADVICE = {
    ".mcap": "if the recording was interrupted or the copy is incomplete, `mcap recover` restores what is there",
    ".db3": "if the recording was interrupted or the copy is incomplete, `sqlite3 FILE .recover` may restore it",
    ".bag": "if the recording was interrupted, `rosbag reindex` may restore it",
}


class TopicSummary(NamedTuple):
    """What a bag says about one topic.

    Attributes:
        name: Topic as recorded.
        msgtype: Type as in `sensor_msgs/msg/Image`.
        message_count: Number of messages.
        latched: Whether late subscribers got the last message (transient local; in ROS 1 latching).
    """

    name: str
    msgtype: str
    message_count: int
    latched: bool = False


class RawMessage(NamedTuple):
    """One recorded message, still serialised.

    Attributes:
        stamp_ns: Time at which it was recorded (received), in integer nanoseconds.
        data: CDR with its four-byte header, ready to be published or deserialised.
        msgtype: Type as in `sensor_msgs/msg/Image`.
        topic: Topic as recorded.
    """

    stamp_ns: int
    data: bytes | memoryview
    msgtype: str
    topic: str


class BagReader:
    """An open bag; a context manager.

    ROS 1 messages come out as CDR of the ROS 2 type of the same name, which holds for images and the other types whose
    fields did not change.

    Args:
        path: Folder of a ROS 2 bag (also one without metadata.yaml), or a bare .mcap, .db3 or .bag file.

    Raises:
        BagError: If there is no such bag, or it is empty, damaged, unfinished or of an unknown kind.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stack = ExitStack()
        parts = _bag_parts(self.path)
        self._is_ros1 = parts[0].suffix == ".bag"
        try:
            self._readers = [self._opened(part) for part in parts]
        except BaseException:
            self._stack.close()
            raise
        self._connections = [connection for reader in self._readers for connection in reader.connections]
        self._typestore: Any = None

    def _opened(self, part: Path) -> Any:
        try:
            reader = rosbag1.Reader(part) if self._is_ros1 else rosbag2.Reader(part)
            return self._stack.enter_context(reader)
        except Exception as error:  # damaged bytes surface as many kinds of error
            raise _damaged(self.path, part, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    @property
    def topics(self) -> dict[str, TopicSummary]:
        """Recorded topics by name, in alphabetical order."""
        found: dict[str, TopicSummary] = {}
        for connection in sorted(self._connections, key=lambda c: str(c.topic)):
            known = found.get(connection.topic)
            count = connection.msgcount + (known.message_count if known else 0)
            latched = latched_depth(connection) > 0 or bool(known and known.latched)
            found[connection.topic] = TopicSummary(connection.topic, connection.msgtype, count, latched)
        return found

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last message of any topic."""
        filled = [reader for reader in self._readers if reader.message_count]
        if not filled:
            return 0.0
        # rosbags counts the end one nanosecond after the last message.
        span_ns = max(reader.end_time for reader in filled) - 1 - min(reader.start_time for reader in filled)
        return max(0, int(span_ns)) / 1e9

    def raw(self, topics: Collection[str] = ()) -> Iterator[RawMessage]:
        """Serialised messages in the order of recording.

        Args:
            topics: Names as recorded; empty takes all.

        Yields:
            One `RawMessage` at a time.

        Raises:
            BagError: If a topic is not in the bag, or the bag is damaged at some place.
        """
        self._require(topics)
        streams = [self._stream(reader, topics) for reader in self._readers]
        yield from merge(*streams, key=lambda message: message.stamp_ns) if len(streams) > 1 else streams[0]

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Deserialised messages of one topic in the order of recording.

        Args:
            topic: Name as recorded.

        Yields:
            Time of recording in nanoseconds, and the message with the field names of its ROS type.

        Raises:
            BagError: If the topic is not in the bag, or the bag is damaged at some place.
        """
        for message in self.raw([topic]):
            yield message.stamp_ns, self.deserialise(message)

    def deserialise(self, message: RawMessage) -> Any:
        """The message object of serialised bytes of this bag.

        Args:
            message: One that `raw` yielded.

        Returns:
            An object with the field names of its ROS type; number sequences are numpy arrays.

        Raises:
            BagError: If the bytes or the bag's definition of the type are damaged.
        """
        try:
            return self._types().deserialize_cdr(message.data, message.msgtype)
        except Exception as error:  # damaged bytes surface as many kinds of error
            raise BagError(
                f"{self.path}: a message of {message.topic} ({message.msgtype}, recorded at {message.stamp_ns} ns) "
                f"cannot be read: {_reason(error)}"
            ) from error

    def _types(self) -> Any:
        if self._typestore is None:
            definitions = {connection.msgtype: connection.msgdef for connection in self._connections}
            self._typestore = ros_typestore() if self._is_ros1 else typestore_for(definitions)
        return self._typestore

    def _require(self, topics: Collection[str]) -> None:
        known = self.topics
        missing = sorted(set(topics) - set(known))
        if missing:
            listed = ", ".join(f"{topic.name} ({topic.msgtype})" for topic in known.values()) or "none"
            raise BagError(f"{self.path}: no topic {', '.join(missing)} in this bag; its topics are: {listed}")

    def _stream(self, reader: Any, topics: Collection[str]) -> Iterator[RawMessage]:
        wanted: list[Connection] = [c for c in reader.connections if not topics or c.topic in topics]
        if not wanted:
            return
        try:
            for connection, stamp_ns, data in reader.messages(wanted):
                payload = ros_typestore().ros1_to_cdr(data, connection.msgtype) if self._is_ros1 else data
                yield RawMessage(stamp_ns, payload, connection.msgtype, connection.topic)
        except Exception as error:  # damaged bytes surface as many kinds of error
            raise _damaged(self.path, reader.path, error) from error


def latched_depth(connection: Any) -> int:
    """How many messages late subscribers of a recorded publisher got (transient local; in ROS 1 latching); 0 if none.

    Args:
        connection: A connection of rosbags.
    """
    extra = connection.ext
    if isinstance(extra, ConnectionExtRosbag1):
        return int(bool(extra.latching))
    latched = [qos for qos in extra.offered_qos_profiles if qos.durability is QosDurability.TRANSIENT_LOCAL]
    # Middleware does not tell the depth of another process's publisher, which is then recorded as 0.
    return sum(max(1, int(qos.depth)) for qos in latched)


def _bag_parts(path: Path) -> list[Path]:
    """What rosbags has to open for a bag: one folder with metadata, or files.

    Raises:
        BagError: If there is nothing to open.
    """
    if path.name == "metadata.yaml":
        path = path.parent
    if not path.exists():
        raise BagError(f"{path}: there is no such bag")
    if not path.is_dir():
        _check_file(path)
        return [path]
    files = sorted(entry for entry in path.iterdir() if entry.suffix in _STORAGE_SUFFIXES)
    for file in files:
        _check_file(file)
    if (path / "metadata.yaml").exists():
        return [path]
    if not files:
        raise BagError(f"{path}: this folder is no bag, it has neither metadata.yaml nor a .mcap or .db3 file")
    return files


def _check_file(path: Path) -> None:
    if path.suffix not in (*_STORAGE_SUFFIXES, ".bag"):
        raise BagError(f"{path}: not a bag; expected a ROS 2 bag folder or a .mcap, .db3 or ROS 1 .bag file")
    if path.stat().st_size == 0:
        raise BagError(f"{path}: the file is empty (0 bytes), nothing was recorded or the copy failed")
    if path.suffix == ".db3":
        _check_database(path)
    elif path.suffix == ".mcap":
        _check_mcap_end(path)


def _check_mcap_end(path: Path) -> None:
    """Refuse a file that begins as MCAP does and does not end so (MCAP format, "Magic")."""
    with path.open("rb") as file:
        start = file.read(len(_MCAP_MAGIC))
        file.seek(max(0, path.stat().st_size - len(_MCAP_MAGIC)))
        end = file.read()
    if start == _MCAP_MAGIC and end != _MCAP_MAGIC:
        raise BagError(f"{path}: cut off, the closing record of the file is missing; {_ADVICE['.mcap']}")


def _check_database(path: Path) -> None:
    """Refuse a database that SQLite would open although a part of it is missing."""
    with path.open("rb") as file:
        head = file.read(100)
    if head.startswith(b"SQLite format 3\0") and len(head) == 100:
        # SQLite file format, 1.3: page size, where 1 means 65536, and number of pages, valid if the counters agree.
        page_bytes = int.from_bytes(head[16:18], "big")
        pages = int.from_bytes(head[28:32], "big") if head[24:28] == head[92:96] else 0
        expected = pages * (65536 if page_bytes == 1 else page_bytes)
        if path.stat().st_size < expected:
            raise BagError(f"{path}: cut off, {path.stat().st_size} of {expected} bytes are there; {_ADVICE['.db3']}")
    for suffix in ("-wal", "-journal"):
        leftover = path.with_name(path.name + suffix)
        if leftover.exists() and leftover.stat().st_size:
            raise BagError(
                f"{path}: the recording is unfinished ({leftover.name} holds messages that are not in the file yet); "
                f"stop the recorder, or run `sqlite3 {path.name} 'PRAGMA wal_checkpoint(TRUNCATE)'`"
            )


def _damaged(bag: Path, part: Path, error: Exception) -> BagError:
    suffixes = [part.suffix] if part.is_file() else sorted({entry.suffix for entry in part.iterdir()})
    advice = next((_ADVICE[suffix] for suffix in suffixes if suffix in _ADVICE), "record or copy it again")
    where = f" ({part.name})" if part != bag else ""
    return BagError(f"{bag}{where}: cannot be read as a bag: {_reason(error)}; {advice}")


def _reason(error: Exception) -> str:
    return f"{str(error).rstrip('.') or type(error).__name__}"
