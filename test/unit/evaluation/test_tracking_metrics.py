"""HOTA, MOTA and IDF1 equal published figures and what can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.mot import read_rows, read_sequence
from robot_vision.evaluation.tracking import tracking_metrics


def published_tracks(folder: Path, frames: int) -> list[LabelledBoxes]:
    rows = read_rows(folder / "trk" / "MPNTrack-FRCNN.txt", 6)
    return [boxes(rows[rows[:, 0] == number]) for number in range(1, frames + 1)]


def boxes(rows: np.ndarray) -> LabelledBoxes:
    xyxy = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1).astype(np.float32)
    return LabelledBoxes(xyxy, np.zeros(len(rows), np.int64), rows[:, 1].astype(np.int64), np.zeros(len(rows), bool))


@pytest.mark.parametrize(
    ("name", "hota", "mota", "idf1", "switches"),
    [
        ("MOT17-02", 0.487213, 0.472956, 0.548879, 25),
        ("MOT17-04", 0.660989, 0.652880, 0.755698, 7),
        ("MOT17-09", 0.614393, 0.701596, 0.726983, 9),
        ("MOT17-11", 0.672509, 0.701568, 0.765130, 10),
    ],
)
def test_published_tracker_has_the_reference_figures(shared_data, name, hota, mota, idf1, switches) -> None:
    """TrackEval's figures for MPNTrack, to every published digit: metrics, and the benchmark's rules of what counts."""
    folder = shared_data / "mot" / name
    frames = read_sequence(folder).frames
    truth, others = [frame.truth for frame in frames], [frame.bystanders_xyxy for frame in frames]
    metrics = tracking_metrics(truth, published_tracks(folder, len(frames)), others)
    assert (metrics.hota, metrics.mota, metrics.idf1) == pytest.approx((hota, mota, idf1), abs=5.1e-7)
    assert metrics.id_switches == switches


def frame(*rows, ignored=()) -> LabelledBoxes:
    """Boxes of size 10 at (x, 0) from rows (id, x) or (id, x, class)."""
    full = [(*row, 0)[:3] for row in rows]
    xyxy = np.array([[x, 0, x + 10, 10] for _, x, _ in full], np.float32).reshape(-1, 4)
    return LabelledBoxes(
        xyxy,
        np.array([c for _, _, c in full], np.int64),
        np.array([i for i, _, _ in full], np.int64),
        np.array([i in ignored for i, _, _ in full], bool),
    )


def test_perfect_tracks_score_one_whatever_their_ids_are() -> None:
    truth = [frame((1, 0), (2, 50)), frame((1, 5), (2, 45)), frame()]
    found = [frame((70, 0), (9, 50)), frame((70, 5), (9, 45)), frame()]
    metrics = tracking_metrics(truth, found)
    assert (metrics.hota, metrics.mota, metrics.idf1, metrics.ass_a) == pytest.approx((1, 1, 1, 1))
    assert (metrics.frames, metrics.truth_boxes, metrics.id_switches) == (3, 4, 0)


def test_track_that_changes_its_id_half_way_by_hand() -> None:
    """One object, 4 frames, 2 tracks of 2 frames: each match has association 2 / (4 + 2 - 2) = 0.5."""
    metrics = tracking_metrics([frame((1, 0))] * 4, [frame((5, 0))] * 2 + [frame((6, 0))] * 2)
    assert metrics.det_a == pytest.approx(1.0)
    assert metrics.ass_a == pytest.approx(0.5)
    assert metrics.hota == pytest.approx(np.sqrt(0.5))
    assert metrics.mota == pytest.approx(1 - 1 / 4)
    assert metrics.idf1 == pytest.approx(2 * 2 / (4 + 4))
    assert metrics.id_switches == 1


def test_misses_false_alarms_and_a_switch_across_a_gap_by_hand() -> None:
    truth = [frame((1, 0))] * 3
    found = [frame((5, 0), (8, 500)), frame(), frame((6, 0))]
    metrics = tracking_metrics(truth, found)
    assert (metrics.misses, metrics.false_positives, metrics.id_switches) == (1, 1, 1)
    assert metrics.mota == pytest.approx(1 - 3 / 3)
    assert metrics.det_a == pytest.approx(2 / (2 + 1 + 1))


def test_overlap_just_under_a_threshold_counts_for_the_lower_ones_only() -> None:
    """Shifted by 3 of 10 pixels: IoU 7 / 13 = 0.538, that is 10 of the 19 thresholds."""
    metrics = tracking_metrics([frame((1, 0))] * 2, [frame((1, 3))] * 2)
    assert metrics.hota == pytest.approx(10 / 19)
    assert metrics.mota == pytest.approx(1.0)
    assert tracking_metrics([frame((1, 0))], [frame((1, 4))]).mota == pytest.approx(-1.0)


def test_boxes_of_another_class_do_not_match() -> None:
    assert tracking_metrics([frame((1, 0, 0))], [frame((1, 0, 1))]).hota == 0


def test_tracks_on_ignored_objects_are_not_counted_at_all() -> None:
    plain = tracking_metrics([frame((1, 0))] * 2, [frame((5, 0))] * 2)
    truth = [frame((1, 0), (2, 100), ignored=[2])] * 2
    with_ignored = tracking_metrics(truth, [frame((5, 0), (6, 101))] * 2)
    assert with_ignored == plain
    assert tracking_metrics(truth, [frame((5, 0))] * 2) == plain
    beside = tracking_metrics(truth, [frame((5, 0), (6, 120))] * 2)
    assert beside.false_positives == 2


def test_a_bystander_takes_the_track_box_that_fits_it_best() -> None:
    """Such a box counts as a false alarm, although an ignored object is near it; without the bystander it would not."""
    truth, found = [frame((1, 0), (2, 100), ignored=[2])], [frame((5, 0), (6, 102))]
    assert tracking_metrics(truth, found).false_positives == 0
    nearer = np.array([[103, 0, 113, 10]], np.float32)
    assert tracking_metrics(truth, found, [nearer]).false_positives == 1
    assert tracking_metrics(truth, found, [nearer + 3]).false_positives == 0


def test_no_tracks_at_all_score_zero() -> None:
    metrics = tracking_metrics([frame((1, 0))] * 2, [frame()] * 2)
    assert (metrics.hota, metrics.mota, metrics.idf1, metrics.misses) == (0, 0, 0, 2)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(EvaluationError, match="2 frames and the tracks 1"):
        tracking_metrics([frame(), frame()], [frame()])
    with pytest.raises(EvaluationError, match="1 frames and the bystanders 0"):
        tracking_metrics([frame((1, 0))], [frame()], [])
    with pytest.raises(EvaluationError, match="no object"):
        tracking_metrics([frame()], [frame((1, 0))])
    with pytest.raises(EvaluationError, match=r"frame 1 of the tracks: an id appears twice in \[4, 4\]"):
        tracking_metrics([frame((1, 0))] * 2, [frame(), frame((4, 0), (4, 50))])
    with pytest.raises(EvaluationError, match="frame 0 of the ground truth"):
        tracking_metrics([frame((4, 0), (4, 50))], [frame()])
