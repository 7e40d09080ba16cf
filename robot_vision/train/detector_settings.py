"""Settings of the detector's training, defined once: the command line is derived from them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from robot_vision.errors import InvalidValueError
from robot_vision.train.options import about

_SHIPPED = Path("models/simworld_yolo")
STRIDES = (4, 8, 16, 32)
"""Input pixels per cell of the four levels that the detector predicts on; the finest is for small objects."""


@dataclass(frozen=True)
class DetectorTraining:
    """One training run; its defaults train from nothing, what the shipped network was trained with is in its card.

    Raises:
        InvalidValueError: If a number is out of range, or held-out data is given without training data.
    """

    data: Path | None = field(
        default=None,
        metadata=about(
            "what to learn from: COCO folder or annotation file, YOLO data.yaml, or bag with ground truth; all images "
            "are held in memory, scaled to the input size; without it the simulated world is rendered",
            kind=Path,
        ),
    )
    val: Path | None = field(
        default=None,
        metadata=about("held-out images of any of these kinds; without it the val of the data.yaml", kind=Path),
    )
    out: Path | None = field(
        default=None,
        metadata=about(
            "ONNX file to write, its card goes beside it; without it detector.onnx in the work folder, or the shipped "
            "network's place if the simulated world is rendered",
            kind=Path,
            shown=False,
        ),
    )
    work: Path = field(
        default=Path("runs/detector"),
        metadata=about("folder of checkpoint, curves.png and rendered images", shown=False),
    )
    epochs: int = field(default=20, metadata=about("passes over the images"))
    batch_size: int = field(default=16, metadata=about("images per step"))
    learning_rate: float = field(default=2e-3, metadata=about("peak learning rate of AdamW"))
    mosaic: float = field(default=0.3, metadata=about("share of mosaics, none of them in the last fifth of the run"))
    crop: float = field(
        default=0.7,
        metadata=about("part of the images' sides to learn from, around the objects; all of it in the last fifth"),
    )
    input_size: int = field(default=320, metadata=about("side of the network's square input in pixels"))
    start: Path | None = field(
        default=None,
        metadata=about(
            "ONNX file of an earlier detector, such as the shipped one, whose weights to start from", kind=Path
        ),
    )
    seed: int = field(default=0, metadata=about("seed of weights, order and augmentation"))
    validate_every: int = field(default=3, metadata=about("epochs between validations", shown=False))
    resume: bool = field(default=False, metadata=about("continue from the checkpoint in the work folder", shown=False))
    jobs: int = field(default=2, metadata=about("processes that render the simulated world", shown=False))
    workers: int = field(
        default=0,
        metadata=about(
            "processes that augment images, one for each core beside a GPU; 0 is a thread of this process, as fast as "
            "a network on the CPU can use them",
            shown=False,
        ),
    )
    threads: int = field(default=0, metadata=about("CPU threads of torch; 0 leaves its own choice", shown=False))

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "validate_every", "jobs"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "threads", "workers"):
            if getattr(self, name) < 0:
                raise InvalidValueError(f"{name}: must not be negative, got {getattr(self, name)}")
        if self.input_size < STRIDES[-1] or self.input_size % STRIDES[-1]:
            raise InvalidValueError(f"input_size: must be a multiple of {STRIDES[-1]}, got {self.input_size}")
        if not 0 <= self.mosaic <= 1:
            raise InvalidValueError(f"mosaic: must be within [0, 1], got {self.mosaic}")
        if not 0 < self.crop <= 1:
            raise InvalidValueError(f"crop: must be within (0, 1], got {self.crop}")
        if not 0 < self.learning_rate < 1:
            raise InvalidValueError(f"learning_rate: must be within (0, 1), got {self.learning_rate}")
        if self.data is None and self.val is not None:
            raise InvalidValueError("val: goes with data; give both, or neither to train on the simulated world")

    @property
    def onnx_path(self) -> Path:
        """The file to write, with its suffix."""
        # A network of other data never takes the shipped one's place unasked.
        out = self.out or (_SHIPPED if self.data is None else self.work / "detector")
        return out if out.suffix == ".onnx" else out.with_name(f"{out.name}.onnx")
