"""Messages as vectors of numbers, by rules that hold for every type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError

RULES = (
    "numbers in the order of the message's fields, nested messages field by field; bools are 0 and 1",
    "durations are seconds; headers, times and layouts of MultiArrays are left out, and so is text",
    "covariances and arrays of bytes are left out unless they are named",
    "angles and quaternions stay as recorded: samples are chosen, never averaged",
    "a list of names must stay the same; arrays of its length are labelled with it",
    "an array keeps its length unless it is padded",
)
_DURATION = "builtin_interfaces/msg/Duration"
_LEFT_OUT = ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "std_msgs/msg/MultiArrayLayout")

Leaf = tuple[str, Any]


@dataclass(frozen=True, eq=False)
class FlatLayout:
    """How the messages of one topic become vectors.

    Attributes:
        topic: Name as recorded, for errors.
        fields: Fields that were asked for; empty takes all.
        sizes: Path and number of values of every leaf, as the first message has them.
        names: One label a value, such as `twist.linear.x` or `position[elbow]`.
        texts: Lists of names by path, which must not change.
        left_out: Paths of text, bytes and covariances that nobody asked for.
        pad: Length to which number arrays are padded; 0 for none.
        dtype: float32 where all values come from such arrays, else float64.
    """

    topic: str
    fields: tuple[str, ...]
    sizes: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    texts: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...]
    pad: int
    dtype: npt.DTypeLike

    def vector(self, message: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int8]]:
        """The values of a message.

        Args:
            message: Read from a bag.

        Returns:
            (D,) array of `dtype`, and (D,) int8, 0 where a value is padding.

        Raises:
            InvalidValueError: If an array has another length than in the first message, or a list of names changed.
        """
        numbers, texts, _ = _sorted_leaves(message, self.fields)
        sizes = tuple((path, _padded_size(value, self.pad)) for path, value in numbers)
        if sizes != self.sizes:
            raise InvalidValueError(f"{self.topic}: {_difference(self.sizes, sizes)}{self._advice()}")
        if texts != self.texts:
            raise InvalidValueError(f"{self.topic}: its names changed from {self.texts} to {texts}")
        values = np.zeros(len(self.names), self.dtype)
        mask = np.zeros(len(self.names), np.int8)
        start = 0
        for (_, value), (_, size) in zip(numbers, sizes, strict=True):
            given = np.size(value)
            if given > size:
                raise InvalidValueError(f"{self.topic}: an array has {given} values{self._advice()}")
            values[start : start + given] = value
            mask[start : start + given] = 1
            start += size
        return values, mask

    def _advice(self) -> str:
        if self.pad:
            return f"; it is padded to {self.pad}"
        return "; choose fields of constant length, or pad its arrays"


def flat_layout(topic: str, message: Any, wanted: Sequence[str] = (), pad: int = 0) -> FlatLayout:
    """The layout that a topic's first message has.

    Args:
        topic: Name as recorded.
        message: Its first message, read from a bag.
        wanted: Fields to take, as in `pose.pose.position`; empty takes all.
        pad: Length to which number arrays are padded; 0 for none.

    Returns:
        The layout.

    Raises:
        InvalidValueError: If a field does not exist or holds no number, or there is no number at all.
    """
    numbers, texts, left_out = _sorted_leaves(message, wanted)
    sizes = tuple((path, _padded_size(value, pad)) for path, value in numbers)
    if missing := [entry for entry in wanted if not any(_below(path, entry) for path, _ in sizes)]:
        raise InvalidValueError(
            f"{topic} ({message.__msgtype__}): no numbers in {', '.join(missing)}; "
            f"there are {', '.join(path for path, _ in _sorted_leaves(message, ())[0]) or 'none at all'}"
        )
    if not sum(size for _, size in sizes):
        raise InvalidValueError(f"{topic}: a {message.__msgtype__} has no numbers that can be a column")
    labels = {len(entries): entries for entries in texts.values()} if len(texts) == 1 and not pad else {}
    names = [name for path, size in sizes for name in _labels(path, size, dict(numbers)[path], labels)]
    kinds = {value.dtype if isinstance(value, np.ndarray) else np.dtype(np.float64) for _, value in numbers}
    dtype = np.float32 if kinds == {np.dtype(np.float32)} else np.float64
    return FlatLayout(topic, tuple(wanted), sizes, tuple(names), texts, tuple(left_out), pad, dtype)


def _sorted_leaves(message: Any, wanted: Sequence[str]) -> tuple[list[Leaf], dict[str, tuple[str, ...]], list[str]]:
    """Numbers and lists of names, each by path, and the paths of what is left out."""
    numbers: list[Leaf] = []
    texts: dict[str, tuple[str, ...]] = {}
    left_out: list[str] = []
    for path, value in _leaves(message, ""):
        named = any(_below(path, entry) for entry in wanted)
        if _is_names(value):
            texts[path] = tuple(value)
        elif not wanted and (value is None or _is_unasked(path, value)):
            left_out.append(path)
        elif value is not None and (named or not wanted):
            numbers.append((path, value))
    return numbers, texts, left_out


def _leaves(value: Any, path: str) -> Iterator[Leaf]:
    """Numbers, arrays and lists of names depth first; None stands for text."""
    msgtype = getattr(value, "__msgtype__", "")
    if msgtype == _DURATION:
        yield path, value.sec + value.nanosec / 1e9
    elif isinstance(value, str):
        yield path, None
    elif msgtype in _LEFT_OUT:
        return
    elif msgtype:
        for entry in fields(value):
            if entry.name != "__msgtype__":
                yield from _leaves(getattr(value, entry.name), f"{path}.{entry.name}".lstrip("."))
    elif isinstance(value, list) and not _is_names(value):
        for index, entry in enumerate(value):
            yield from _leaves(entry, f"{path}[{index}]")
    else:
        yield path, value


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, str) for entry in value)


def _is_unasked(path: str, value: Any) -> bool:
    is_bytes = isinstance(value, np.ndarray) and value.dtype == np.uint8
    return is_bytes or path.rsplit(".", 1)[-1].endswith("covariance")


def _below(path: str, entry: str) -> bool:
    return path == entry or path.startswith((f"{entry}.", f"{entry}["))


def _padded_size(value: Any, pad: int) -> int:
    return pad if isinstance(value, np.ndarray) and pad else int(np.size(value))


def _labels(path: str, size: int, value: Any, labels: dict[int, tuple[str, ...]]) -> list[str]:
    if not isinstance(value, np.ndarray):
        return [path]
    return [f"{path}[{entry}]" for entry in labels.get(size, range(size))]


def _difference(expected: Sequence[tuple[str, int]], found: Sequence[tuple[str, int]]) -> str:
    before, now = dict(expected), dict(found)
    for path in dict.fromkeys([*before, *now]):
        if before.get(path) != now.get(path):
            return f"{path} had {before.get(path, 0)} values in the first message and has {now.get(path, 0)} in another"
    return "its fields changed their order"
