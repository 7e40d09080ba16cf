"""What a data set is made of and by which rules."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from robot_vision.errors import InvalidValueError

Clock = Literal["header", "reception"]
Invalid = Literal["cut", "mask"]

ACTION = "action"
OBSERVATION = "observation"
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class TopicSpec:
    """A topic that becomes a column.

    Attributes:
        topic: Name as recorded.
        fields: Fields of its messages, such as `twist.linear`; empty takes all that the rules take.
        name: Name of the column after `observation.`; empty derives it from the topic. Actions have none.
    """

    topic: str
    fields: tuple[str, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        fields = f":{','.join(self.fields)}" if self.fields else ""
        return f"{self.topic}{fields}{f'={self.name}' if self.name else ''}"


def parse_topic(text: str) -> TopicSpec:
    """A topic as the command line writes it.

    Args:
        text: `TOPIC[:FIELD,FIELD][=NAME]`, as in `/odom:twist.twist.linear.x=speed`.

    Returns:
        The topic.

    Raises:
        InvalidValueError: If the text has another form.
    """
    rest, _, name = text.partition("=")
    topic, colon, fields = rest.partition(":")
    listed = tuple(entry for entry in fields.split(",") if entry)
    if not topic or ("=" in text and not _NAME.fullmatch(name)) or (colon and not listed):
        raise InvalidValueError(
            f"{text!r}: expected TOPIC[:FIELD,FIELD][=NAME] with a name of letters, digits, _ and ."
        )
    return TopicSpec(topic, listed, name)


@dataclass(frozen=True)
class DatasetSettings:
    """How bags become a data set.

    Attributes:
        observations: At least one topic.
        actions: Topics whose values together are the action.
        rate_hz: Steps a second.
        reference: Topic whose first and last message begin and end an episode; empty takes the first observation.
        max_age_s: Largest age of a sample in seconds; None allows two steps.
        max_age_by_topic_s: Departures from it.
        gap_s: A longer silence of the reference ends an episode.
        invalid: Whether a step without a usable sample of every topic ends the episode (`cut`) or stays, marked and
            filled with zeros (`mask`).
        clock: Whether a message counts from its header's stamp or from its reception.
        image_size_wh: Size of the pictures in pixels; None if there are none.
        source_size_wh: Size of the images that the tracks come from; None reads it from the bag.
        class_names: Labels of the tracks in the order of their indices; empty reads them from the bag.
        max_tracks: Rows of the track array.
        padding: By topic, the length to which its number arrays are padded.
        task: What the recordings show, in words.

    Raises:
        InvalidValueError: If a value is out of range, or a topic or name is there twice.
    """

    observations: tuple[TopicSpec, ...]
    actions: tuple[TopicSpec, ...] = ()
    rate_hz: float = 10.0
    reference: str = ""
    max_age_s: float | None = None
    max_age_by_topic_s: Mapping[str, float] = field(default_factory=dict)
    gap_s: float = 1.0
    invalid: Invalid = "cut"
    clock: Clock = "header"
    image_size_wh: tuple[int, int] | None = None
    source_size_wh: tuple[int, int] | None = None
    class_names: tuple[str, ...] = ()
    max_tracks: int = 16
    padding: Mapping[str, int] = field(default_factory=dict)
    task: str = ""

    def __post_init__(self) -> None:
        if not self.observations:
            raise InvalidValueError("no observation: name at least one topic to observe")
        numbers = {"rate_hz": self.rate_hz, "gap_s": self.gap_s, "max_tracks": self.max_tracks}
        numbers |= {f"padding of {topic}": length for topic, length in self.padding.items()}
        for name, value in numbers.items():
            if not (value > 0 and math.isfinite(value)):
                raise InvalidValueError(f"{name}: expected a number above 0, got {value}")
        ages = {**self.max_age_by_topic_s, "all topics": self.max_age_s if self.max_age_s is not None else 0.0}
        for name, age_s in ages.items():
            if not age_s >= 0:
                raise InvalidValueError(f"max_age_s of {name}: expected 0 or more seconds, got {age_s}")
        for size in (self.image_size_wh, self.source_size_wh):
            if size is not None and min(size) < 1:
                raise InvalidValueError(f"size: expected 1 pixel or more in both directions, got {size[0]}x{size[1]}")
        self._check_topics()

    def _check_topics(self) -> None:
        for kind, specs in (("observed", self.observations), ("acted on", self.actions)):
            twice = [topic for topic, count in Counter(spec.topic for spec in specs).items() if count > 1]
            if twice:
                raise InvalidValueError(
                    f"{twice[0]}: is {kind} twice; name all its fields at once, as TOPIC:FIELD,FIELD"
                )
        if named := [str(spec) for spec in self.actions if spec.name]:
            raise InvalidValueError(
                f"{named[0]}: actions have no name of their own, their values together are `{ACTION}`"
            )
        if padded := [spec.topic for spec in self.actions if spec.topic in self.padding]:
            raise InvalidValueError(f"{padded[0]}: an action cannot be padded")
        given = {*self.max_age_by_topic_s, *self.padding, *([self.reference] if self.reference else [])}
        if unused := sorted(given - {*self.topics}):
            raise InvalidValueError(f"{', '.join(unused)}: named in an option, but neither observed nor acted on")

    @property
    def specs(self) -> tuple[TopicSpec, ...]:
        """Observations, then actions."""
        return self.observations + self.actions

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic once."""
        return tuple(dict.fromkeys(spec.topic for spec in self.specs))

    @property
    def reference_topic(self) -> str:
        """The topic that begins and ends episodes."""
        return self.reference or self.observations[0].topic

    @property
    def period_ns(self) -> int:
        """Time from step to step, rounded to nanoseconds."""
        return round(_SECOND_NS / self.rate_hz)

    def max_age_ns(self, topic: str) -> int:
        """Largest age of a sample in nanoseconds.

        Args:
            topic: One of `topics`.
        """
        default_s = 2 / self.rate_hz if self.max_age_s is None else self.max_age_s
        age_s = self.max_age_by_topic_s.get(topic, default_s)
        return round(min(age_s * _SECOND_NS, float(2**62)))
