"""Settings of a replay."""

from __future__ import annotations

from dataclasses import dataclass, field

from robot_vision.errors import InvalidValueError
from robot_vision.params import StageParams

CAMERA_TOPIC = "/camera/image"
LONGEST_S = 1e9


@dataclass(frozen=True)
class ReplayParams(StageParams):
    """Settings of a replay, from which its command line and its ROS parameters are made."""

    from_topic: str = field(
        default="", metadata={"description": "image topic of the bag; needed only if it has several"}
    )
    topic: str = field(
        default=CAMERA_TOPIC, metadata={"description": "topic to publish; compressed images go to TOPIC/compressed"}
    )
    all: bool = field(
        default=False, metadata={"description": "publish every topic of a bag under its recorded name, not one camera"}
    )
    topics: tuple[str, ...] = field(
        default=(), metadata={"description": "publish these topics of a bag under their recorded names"}
    )
    rate: float = field(
        default=1.0,
        metadata={
            "description": "factor on the recorded pace; 0: as fast as possible",
            "low": 0.0,
            "high": 1e6,
        },
    )
    clock: float = field(
        default=0.0,
        metadata={
            "description": "publish the recorded time on /clock at this rate and before each message; 0: not at all",
            "unit": "Hz",
            "low": 0.0,
            "high": 1000.0,
        },
    )
    loop: bool = field(
        default=False,
        metadata={"description": "begin again at the end, with the recorded stamps: time goes back to the start"},
    )
    start: float = field(
        default=0.0,
        metadata={
            "description": "leave out what was recorded before this time after the first message",
            "unit": "s",
            "low": 0.0,
            "high": LONGEST_S,
        },
    )
    duration: float = field(
        default=0.0,
        metadata={
            "description": "end so long after the start, in recorded time; 0: at the end of the recording",
            "unit": "s",
            "low": 0.0,
            "high": LONGEST_S,
        },
    )
    start_paused: bool = field(
        default=False, metadata={"description": "wait for a resume or a step before the first message"}
    )
    wait: float = field(
        default=20.0,
        metadata={
            "description": "longest wait for a subscriber; 0: do not wait",
            "unit": "s",
            "low": 0.0,
            "high": LONGEST_S,
        },
    )

    def __post_init__(self) -> None:
        """Check the fields, and that they do not contradict each other."""
        super().__post_init__()
        if not self.whole_bag:
            return
        if self.all and self.topics:
            raise InvalidValueError("topics: has no meaning beside all; give one of them")
        if self.from_topic or self.topic != CAMERA_TOPIC:
            raise InvalidValueError(
                "topic, from_topic: these are for the images of one camera; with all or topics, every topic keeps its "
                "name, and a remapping (from:=to) changes it"
            )

    @property
    def whole_bag(self) -> bool:
        """Whether topics of a bag are published under their names, not the images of one camera under another."""
        return self.all or bool(self.topics)
