"""Settings: every default passes its own check, and a wrong value says what is allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.params import STAGES, CameraParams, DetectorParams, SessionParams, StageParams, settings, updated


@pytest.mark.parametrize("stage", STAGES)
def test_defaults_are_valid_and_described(stage: str) -> None:
    params = STAGES[stage]()
    for setting in settings(type(params)):
        assert getattr(params, setting.name) == setting.default
        assert setting.check(setting.default) == setting.default
        assert setting.description
        assert not setting.description.endswith(".")
        assert isinstance(setting.default, setting.kind)


@pytest.mark.parametrize("stage", STAGES)
def test_limits_of_every_numeric_setting_are_inclusive_and_enforced(stage: str) -> None:
    for setting in settings(STAGES[stage]):
        for limit, beyond in ((setting.low, -1), (setting.high, 1)):
            if limit is None:
                continue
            value = setting.kind(limit)
            assert setting.check(value) == value
            with pytest.raises(InvalidValueError, match=f"{setting.name}: must be within"):
                setting.check(value + beyond)


@pytest.mark.parametrize(
    ("params_type", "changes", "message"),
    [
        (DetectorParams, {"confidence_threshold": 1.5}, r"confidence_threshold: must be within \[0.001, 1\]; got 1.5"),
        (DetectorParams, {"confidence_threshold": float("nan")}, "confidence_threshold: must be finite, got nan"),
        (DetectorParams, {"confidence_threshold": float("inf")}, "must be finite"),
        (DetectorParams, {"confidence_threshold": "0.5"}, "expected float, got str '0.5'"),
        (DetectorParams, {"confidence_threshold": True}, "expected float, got bool True"),
        (DetectorParams, {"max_detections": 2.0}, "max_detections: expected int, got float 2.0"),
        (DetectorParams, {"max_detections": True}, "expected int, got bool True"),
        (DetectorParams, {"class_agnostic": 1}, "class_agnostic: expected bool, got int 1"),
        (DetectorParams, {"classes": "cat"}, "classes: expected tuple, got str 'cat'"),
        (DetectorParams, {"classes": ["cat", 3]}, "classes: expected tuple, got list"),
        (DetectorParams, {"class_id_format": "number"}, "must be one of name, index; got 'number'"),
        (SessionParams, {"provider": "gpu"}, "provider: must be one of auto, tensorrt, cuda, cpu; got 'gpu'"),
        (CameraParams, {"stall_timeout": 0.0}, r"stall_timeout: must be within \[0.1, 3600\] s; got 0.0"),
    ],
)
def test_wrong_value_says_name_allowed_and_actual(
    params_type: type[StageParams], changes: dict[str, Any], message: str
) -> None:
    for attempt in (lambda: params_type(**changes), lambda: updated(params_type(), changes)):
        with pytest.raises(InvalidValueError, match=message):
            attempt()


def test_values_take_the_settings_own_type() -> None:
    params = DetectorParams(confidence_threshold=1, classes=["cat", "dog"])
    assert isinstance(params.confidence_threshold, float)
    assert params.classes == ("cat", "dog")


def test_updated_leaves_the_old_object_alone() -> None:
    old = DetectorParams()
    new = updated(old, {"iou_threshold": 0.5})
    assert (old.iou_threshold, new.iou_threshold) == (0.6, 0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        new.iou_threshold = 0.7


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        InvalidValueError, match=r"unknown setting iou_treshold; known are class_agnostic, .*iou_threshold"
    ):
        updated(DetectorParams(), {"iou_treshold": 0.5})
