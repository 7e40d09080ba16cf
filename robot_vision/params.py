"""Every setting of the pipeline, defined once.

A stage's settings are one frozen dataclass whose fields carry default, range, unit and description. ROS parameter
declarations with their descriptors, command-line options, offline tools and the README's table are derived from these
definitions, and the same check validates a value wherever it comes from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast, get_type_hints

from robot_vision.errors import InvalidValueError

Scalar = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What is known about one parameter besides its value.

    Attributes:
        name: Field name; the ROS parameter is `<stage>.<name>`.
        kind: Python type of the value: bool, int, float, str or tuple (of str).
        default: Value used when the user says nothing.
        description: One line for people.
        unit: Unit of the value, empty if it has none.
        low: Smallest allowed number, inclusive; None if unbounded.
        high: Largest allowed number, inclusive; None if unbounded.
        choices: Allowed strings; empty if free.
        live: Whether it can change while the node is configured.
    """

    name: str
    kind: type
    default: Scalar
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    def check(self, value: Any) -> Scalar:
        """The value in this setting's own type.

        Args:
            value: A value from ROS, a command line or a file. An int is taken for a float, a list of str for a tuple.

        Returns:
            The converted value.

        Raises:
            InvalidValueError: If the type, the range or the choice is wrong.
        """
        converted = self._convert(value)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise InvalidValueError(f"{self.name}: must be finite, got {value}")
        if isinstance(converted, (int, float)) and not isinstance(converted, bool):
            self._check_range(converted)
        if self.choices and converted not in self.choices:
            raise InvalidValueError(f"{self.name}: must be one of {', '.join(self.choices)}; got {value!r}")
        return converted

    def _convert(self, value: Any) -> Scalar:
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if self.kind is tuple and isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
            return tuple(value)
        if isinstance(value, self.kind) and isinstance(value, bool) == (self.kind is bool):
            return cast(Scalar, value)
        raise InvalidValueError(f"{self.name}: expected {self.kind.__name__}, got {type(value).__name__} {value!r}")

    def _check_range(self, value: float) -> None:
        too_low = self.low is not None and value < self.low
        too_high = self.high is not None and value > self.high
        if too_low or too_high:
            low = "-inf" if self.low is None else f"{self.low:g}"
            high = "inf" if self.high is None else f"{self.high:g}"
            raise InvalidValueError(
                f"{self.name}: must be within [{low}, {high}] {self.unit}".rstrip() + f"; got {value}"
            )


def _setting(
    default: Scalar,
    description: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    metadata = {"description": description, "unit": unit, "low": low, "high": high, "choices": choices, "live": live}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class StageParams:
    """Base of a stage's settings: checks every field on construction.

    Raises:
        InvalidValueError: If a value is outside its contract.
    """

    def __post_init__(self) -> None:
        for setting in settings(type(self)):
            object.__setattr__(self, setting.name, setting.check(getattr(self, setting.name)))


ParamsT = TypeVar("ParamsT", bound=StageParams)


def settings(params_type: type[StageParams]) -> Iterator[Setting]:
    """The settings of one stage in the order of their definition.

    Args:
        params_type: The stage's dataclass.

    Yields:
        One `Setting` a field.
    """
    hints = get_type_hints(params_type)
    for entry in fields(params_type):
        kind = getattr(hints[entry.name], "__origin__", hints[entry.name])
        yield Setting(entry.name, kind, cast(Scalar, entry.default), **entry.metadata)


def updated(params: ParamsT, changes: Mapping[str, Any]) -> ParamsT:
    """The same settings with some values changed and checked.

    Args:
        params: Current values.
        changes: New values by field name.

    Returns:
        A new object.

    Raises:
        InvalidValueError: If a name is unknown or a value is outside its contract.
    """
    known = {entry.name for entry in fields(params)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InvalidValueError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return replace(params, **dict(changes))


def check_names(given: Iterable[str]) -> None:
    """See that names `<stage>.<setting>` exist; other names, without the dot or with another stage, are not ours.

    Args:
        given: Names of parameters.

    Raises:
        InvalidValueError: If a stage has no such setting: a misspelt one would be ignored silently.
    """
    for name in given:
        stage, _, setting = name.partition(".")
        known = [entry.name for entry in settings(STAGES[stage])] if stage in STAGES else [setting]
        if setting not in known:
            raise InvalidValueError(f"parameter {name}: there is no such setting; {stage} has {', '.join(known)}")


@dataclass(frozen=True)
class CameraParams(StageParams):
    """Where frames come from and how they are taken."""

    names: tuple[str, ...] = _setting(
        (), "names of several cameras, each with its topics below its name, such as front/image; empty for one camera"
    )
    image_transport: str = _setting("raw", "message type of the camera topic", choices=("raw", "compressed"))
    stall_timeout: float = _setting(
        2.0,
        "time without a frame after which diagnostics report a stalled camera",
        unit="s",
        low=0.1,
        high=3600.0,
        live=True,
    )
    latency_budget: float = _setting(
        0.0,
        "time from image to results that one frame in twenty may exceed before diagnostics warn; 0 for no limit",
        unit="s",
        low=0.0,
        high=3600.0,
        live=True,
    )
    least_rate: float = _setting(
        0.0,
        "results a second below which diagnostics warn; 0 for no limit",
        unit="Hz",
        low=0.0,
        high=1000.0,
        live=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = [name for name in self.names if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)]
        if wrong or len(set(self.names)) < len(self.names):
            raise InvalidValueError(
                "names: expected different names of letters, digits and underscores, none with a digit first; got "
                f"{', '.join(map(repr, self.names))}"
            )


@dataclass(frozen=True)
class SessionParams(StageParams):
    """How ONNX Runtime executes a network."""

    provider: str = _setting(
        "auto",
        "execution provider: auto takes CUDA where the installed ONNX Runtime has it, else the CPU",
        choices=("auto", "tensorrt", "cuda", "cpu"),
    )
    allow_cpu: bool = _setting(False, "run on the CPU when the provider asked for cannot be had, instead of refusing")
    device_id: int = _setting(0, "GPU number", low=0, high=63)
    threads: int = _setting(1, "CPU threads inside one operator; 0 takes one a core", low=0, high=256)
    half_precision: bool = _setting(False, "let TensorRT compute in 16 bits: faster, scores change a little")
    engine_cache: str = _setting("~/.cache/robot_vision/tensorrt", "folder of the networks that TensorRT has compiled")


@dataclass(frozen=True)
class DetectorParams(StageParams):
    """Settings of the detector."""

    model: str = _setting("simworld_yolo", "shipped model's name, or path of an ONNX file", live=True)
    confidence_threshold: float = _setting(0.1, "smallest score that is published", low=0.001, high=1.0, live=True)
    iou_threshold: float = _setting(
        0.6, "overlap above which the weaker of two boxes is dropped", low=0.0, high=1.0, live=True
    )
    max_detections: int = _setting(300, "most boxes a frame", low=1, high=10000, live=True)
    class_agnostic: bool = _setting(False, "suppress overlapping boxes across classes", live=True)
    classes: tuple[str, ...] = _setting((), "names of the classes to keep; empty keeps all", live=True)
    class_thresholds: tuple[str, ...] = _setting(
        (), "smallest score of single classes instead of confidence_threshold, as name:score", live=True
    )
    region_left: float = _setting(
        0.0, "left edge of the region looked at, share of the width", low=0.0, high=1.0, live=True
    )
    region_top: float = _setting(
        0.0, "top edge of the region looked at, share of the height", low=0.0, high=1.0, live=True
    )
    region_right: float = _setting(1.0, "right edge of that region, share of the width", low=0.0, high=1.0, live=True)
    region_bottom: float = _setting(
        1.0, "bottom edge of that region, share of the height", low=0.0, high=1.0, live=True
    )
    slice_columns: int = _setting(
        1, "columns of slices that are looked at besides the whole, for small objects", low=1, high=8, live=True
    )
    slice_rows: int = _setting(1, "rows of such slices", low=1, high=8, live=True)
    slice_overlap: float = _setting(
        0.2, "share of a slice that it has in common with the next", low=0.0, high=0.5, live=True
    )
    class_id_format: str = _setting("name", "what class_id in messages holds", choices=("name", "index"))
    services: bool = _setting(True, "offer the service `detect`")

    def __post_init__(self) -> None:
        """Check the fields, and that the region is not empty."""
        super().__post_init__()
        for low, high in (("region_left", "region_right"), ("region_top", "region_bottom")):
            if getattr(self, low) >= getattr(self, high):
                raise InvalidValueError(
                    f"{low}: must be below {high}, got {getattr(self, low):g} and {getattr(self, high):g}"
                )


@dataclass(frozen=True)
class TrackerParams(StageParams):
    """Settings of the tracker; times in seconds, so that they hold at any frame rate."""

    high_threshold: float = _setting(
        0.5, "score from which a detection takes part in the first association", low=0.0, high=1.0, live=True
    )
    low_threshold: float = _setting(
        0.2, "score from which a detection can keep a known track alive", low=0.0, high=1.0, live=True
    )
    new_track_threshold: float = _setting(
        0.6, "score from which an unmatched detection starts a track", low=0.0, high=1.0, live=True
    )
    confirm_threshold: float = _setting(
        0.7, "score from which a detection confirms its track at once", low=0.0, high=1.0, live=True
    )
    confirm_time: float = _setting(
        0.15, "time over which a less sure track must be seen to be confirmed", unit="s", low=0.0, high=10.0, live=True
    )
    lost_time: float = _setting(1.5, "time after which an unseen track ends", unit="s", low=0.0, high=60.0, live=True)
    occlusion_time: float = _setting(
        0.2, "time for which a track hidden by another stays confirmed", unit="s", low=0.0, high=60.0, live=True
    )
    match_threshold: float = _setting(
        0.2, "overlap weighed by score that a detection needs to continue a track", low=0.01, high=1.0, live=True
    )
    low_match_threshold: float = _setting(
        0.5, "overlap that a detection below high_threshold needs to continue a track", low=0.01, high=1.0, live=True
    )
    class_penalty: float = _setting(
        0.3, "share of the overlap lost when the classes differ; 1 forbids it", low=0.0, high=1.0, live=True
    )
    camera_motion: str = _setting(
        "boxes",
        "what tells the camera's motion: boxes alone, or optical flow, too (perception_node only)",
        choices=("boxes", "flow"),
        live=True,
    )
    appearance_model: str = _setting(
        "",
        "network that tells objects apart by looks: shipped encoder's name, or path of an ONNX file; empty for none "
        "(perception_node only)",
    )
    appearance_weight: float = _setting(
        1.0, "weight of looks beside overlap, where an appearance_model is given", low=0.0, high=5.0, live=True
    )
    services: bool = _setting(True, "offer the service `reset_tracks`")


@dataclass(frozen=True)
class EncoderParams(StageParams):
    """Settings of the latent encoder."""

    model: str = _setting("simworld_vae_encoder", "shipped model's name, or path of an ONNX file", live=True)
    novelty: bool = _setting(False, "also decode each latent and publish the standardised reconstruction error")
    services: bool = _setting(True, "offer the services `encode` and `decode`")


@dataclass(frozen=True)
class GeneratorParams(StageParams):
    """Settings of the generator of images."""

    model: str = _setting(
        "simworld_diffusion", "shipped model's name, path of an ONNX file, or folder of a diffusers pipeline"
    )
    load: str = _setting(
        "configure",
        "when the model is loaded: with the node, or for the first request",
        choices=("configure", "first_use"),
    )
    max_steps: int = _setting(100, "most denoising steps of a request", low=1, high=10000, live=True)
    max_count: int = _setting(16, "most images of a request", low=1, high=1024, live=True)
    max_side: int = _setting(1024, "largest width and height of a request", unit="px", low=1, high=8192, live=True)
    max_prompt_length: int = _setting(500, "most characters of a prompt", low=1, high=100000, live=True)
    queue_size: int = _setting(
        4, "requests that may wait while one runs; more are refused", low=0, high=1000, live=True
    )
    preview_every: int = _setting(5, "steps from one preview image to the next", low=1, high=10000, live=True)
    duty: float = _setting(
        1.0, "largest share of the time in which it computes; it rests after each step", low=0.01, high=1.0, live=True
    )
    niceness: int = _setting(10, "by how much other threads go first on the CPU, as nice has it", low=0, high=19)


STAGES: dict[str, type[StageParams]] = {
    "camera": CameraParams,
    "session": SessionParams,
    "detector": DetectorParams,
    "tracker": TrackerParams,
    "encoder": EncoderParams,
    "generator": GeneratorParams,
}


def stage_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of all stages.

    Args:
        values: Departures from the defaults by name `<stage>.<setting>`; other names are left out.

    Returns:
        A stage's settings by its name, as in `STAGES`.

    Raises:
        InvalidValueError: If a setting does not exist or a value is outside its contract.
    """
    check_names(values)
    params: dict[str, Any] = {}
    for stage, params_type in STAGES.items():
        changes = {name.partition(".")[2]: value for name, value in values.items() if name.partition(".")[0] == stage}
        try:
            params[stage] = updated(params_type(), changes)
        except InvalidValueError as error:
            raise InvalidValueError(f"parameter {stage}.{error}") from error
    return params
