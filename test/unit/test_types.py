"""The pipeline's values refuse what does not have their shape, and empty is an ordinary value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.types import Detections, Frame, Latent, Tracks, TrackState

F32, I64 = np.float32, np.int64


def make_detections(count: int) -> Detections:
    return Detections(
        np.arange(4 * count, dtype=F32).reshape(count, 4), np.linspace(0, 1, count, dtype=F32), np.arange(count)
    )


def make_tracks(states: list[int]) -> Tracks:
    n = len(states)
    numbers = np.arange(n, dtype=F32)
    return Tracks(
        np.arange(n), np.zeros((n, 4), F32), numbers, np.zeros(n, I64), np.array(states, I64), np.zeros((n, 2), F32),
        numbers, numbers, np.zeros((n, 4, 4), F32),
    )  # fmt: skip


def test_frame_becomes_read_only_and_tells_width_first() -> None:
    frame = Frame(np.zeros((3, 5, 3), np.uint8), 7, "camera")
    assert frame.size_wh == (5, 3)
    with pytest.raises(ValueError, match="read-only"):
        frame.rgb[0] = 1


@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (np.zeros((3, 5), np.uint8), r"expected a uint8 array of shape \(\*, \*, 3\), got uint8 of shape \(3, 5\)"),
        (np.zeros((3, 5, 4), np.uint8), r"got uint8 of shape \(3, 5, 4\)"),
        (np.zeros((3, 5, 3), F32), r"got float32 of shape \(3, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), "needs at least one pixel"),
        ([[[1, 2, 3]]], "got list"),
    ],
)
def test_frame_refuses_what_is_no_image(rgb: object, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Frame(rgb, 0, "")


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_detections(1).scores = np.zeros(1, F32)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boxes_xyxy", np.zeros((2, 5), F32)), ("boxes_xyxy", np.zeros((2, 4))), ("scores", np.zeros(3, F32)),
        ("scores", np.zeros((2, 1), F32)), ("class_ids", np.zeros(2, np.int32)), ("class_ids", np.zeros(1, I64)),
    ],
)  # fmt: skip
def test_detections_refuse_other_shapes_and_dtypes(field: str, value: np.ndarray) -> None:
    with pytest.raises(InvalidValueError, match="Detections"):
        dataclasses.replace(make_detections(2), **{field: value})


def test_detections_select_by_mask_and_by_index() -> None:
    detections = make_detections(3)
    np.testing.assert_array_equal(detections.select(np.array([True, False, True])).class_ids, [0, 2])
    np.testing.assert_array_equal(detections.select(np.array([2, 0])).boxes_xyxy[:, 0], [8, 0])
    assert len(detections.select(np.zeros(3, bool))) == 0


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Tracks)])
def test_tracks_refuse_a_field_of_another_length(field: str) -> None:
    tracks = make_tracks([1, 1])
    with pytest.raises(InvalidValueError, match="Tracks"):
        dataclasses.replace(tracks, **{field: getattr(tracks, field)[:1]})


def test_only_confirmed_tracks_are_for_consumers() -> None:
    tracks = make_tracks([TrackState.TENTATIVE, TrackState.CONFIRMED, TrackState.LOST, TrackState.CONFIRMED])
    np.testing.assert_array_equal(tracks.confirmed().ids, [1, 3])


def test_empty_values_have_length_zero() -> None:
    assert len(Detections.empty()) == len(Tracks.empty()) == len(Tracks.empty().confirmed()) == 0


def test_latent_has_as_many_variances_as_means_or_none() -> None:
    mean = np.zeros(4, F32)
    Latent(mean, np.zeros(0, F32), "e", "h", float("nan"))
    Latent(mean, np.zeros(4, F32), "e", "h", 0.0)
    with pytest.raises(InvalidValueError, match="expected 0 or 4 values to match the mean, got 3"):
        Latent(mean, np.zeros(3, F32), "e", "h", 0.0)
    with pytest.raises(InvalidValueError, match=r"Latent\.mean: expected a float32 array"):
        Latent(np.zeros(4), np.zeros(0, F32), "e", "h", 0.0)
