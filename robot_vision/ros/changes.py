"""What changed settings ask of running stages, up to another network in the place of the present one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from robot_vision.params import DetectorParams, EncoderParams
from robot_vision.ros.networks import open_detectors, open_encoders
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.stages import DetectStage, EncodeStage


def changed_detectors(
    stages: Sequence[DetectStage], settings: StageParameters, params: DetectorParams
) -> Sequence[Callable[[], None]]:
    """See whether all stages can take changed settings; another model is loaded and run while the present one goes on.

    Args:
        stages: The stages of all cameras.
        settings: The node's present settings.
        params: New settings.

    Returns:
        Steps that put them in force.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
        InvalidValueError: If a setting names a class that the model does not have.
    """
    if params.model == settings["detector"].model:
        stages[0].detector.check(params)
        return [partial(stage.set_params, params) for stage in stages]
    detectors = open_detectors(settings["session"], params, len(stages))
    return [partial(stage.exchange, detector) for stage, detector in zip(stages, detectors, strict=True)]


def changed_encoders(
    stages: Sequence[EncodeStage], settings: StageParameters, params: EncoderParams
) -> Sequence[Callable[[], None]]:
    """See whether all stages can take changed settings; another model is loaded and run while the present one goes on.

    Args:
        stages: The stages of all cameras.
        settings: The node's present settings.
        params: New settings.

    Returns:
        Steps that put them in force.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
    """
    if params.model == settings["encoder"].model:
        return []
    encoders = open_encoders(settings["session"], params, len(stages))
    return [partial(stage.exchange, encoder) for stage, encoder in zip(stages, encoders, strict=True)]
