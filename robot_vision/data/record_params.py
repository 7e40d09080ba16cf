"""Settings of a recording."""

from __future__ import annotations

from dataclasses import dataclass, field

from robot_vision.data.replay_params import LONGEST_S
from robot_vision.errors import InvalidValueError
from robot_vision.params import StageParams


@dataclass(frozen=True)
class RecordParams(StageParams):
    """Settings of a recording, from which its command line is made."""

    topics: tuple[str, ...] = field(
        default=(), metadata={"description": "record these topics instead of the pipeline's results"}
    )
    images: bool = field(
        default=False,
        metadata={"description": "also record every camera: images, compressed images and camera information"},
    )
    all: bool = field(default=False, metadata={"description": "record every topic"})
    duration: float = field(
        default=0.0,
        metadata={
            "description": "end so long after the first message; 0: at Ctrl-C",
            "unit": "s",
            "low": 0.0,
            "high": LONGEST_S,
        },
    )

    def __post_init__(self) -> None:
        """Check the fields, and that they do not contradict each other."""
        super().__post_init__()
        if self.all and (self.topics or self.images):
            raise InvalidValueError("all: records every topic already; leave out topics and images")
