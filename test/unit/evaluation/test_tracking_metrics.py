"""HOTA, MOTA and IDF1 equal published figures and what can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.tracking import tracking_metrics
from robot_vision.geometry import iou_matrix

MOT = Path(__file__).resolve().parents[4] / "shared" / "data" / "mot"
DISTRACTORS = (2, 7, 8, 12)


def rows_by_frame(path: Path, frames: int) -> list[np.ndarray]:
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    return [rows[rows[:, 0] == number] for number in range(1, frames + 1)]


def boxes(rows: np.ndarray, ignored: np.ndarray) -> LabelledBoxes:
    xyxy = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    return LabelledBoxes(xyxy, np.zeros(len(rows), np.int64), rows[:, 1].astype(np.int64), ignored)


def mot_sequence(name: str) -> tuple[list[LabelledBoxes], list[LabelledBoxes]]:
    """Ground truth and the published tracks with the benchmark's rules.

    MOTChallenge matches track boxes with all annotated boxes, drops those on distractors, and then looks at considered
    pedestrians only. Boxes on annotations of the other kind stay, so these are taken away before the comparison.
    """
    length = next(
        int(line.split("=")[1])
        for line in (MOT / name / "seqinfo.ini").read_text().splitlines()
        if line.startswith("seqLength")
    )
    truth, found = [], []
    for annotated, tracked in zip(
        rows_by_frame(MOT / name / "gt" / "gt.txt", length),
        rows_by_frame(MOT / name / "trk" / "MPNTrack-FRCNN.txt", length),
        strict=True,
    ):
        everything, tracks = (
            boxes(annotated, np.zeros(len(annotated), bool)),
            boxes(tracked, np.zeros(len(tracked), bool)),
        )
        overlap = iou_matrix(everything.boxes_xyxy, tracks.boxes_xyxy)
        objects, columns = linear_sum_assignment(np.where(overlap >= 0.5 - 1e-12, overlap, 0), maximize=True)
        good = overlap[objects, columns] >= 0.5 - 1e-12
        on_distractor = columns[good][np.isin(annotated[objects[good], 7], DISTRACTORS)]
        kept = annotated[(annotated[:, 6] != 0) & (annotated[:, 7] == 1)]
        rest = np.delete(tracked, on_distractor, axis=0)
        truth.append(boxes(kept, np.zeros(len(kept), bool)))
        found.append(boxes(rest, np.zeros(len(rest), bool)))
    return truth, found


@pytest.mark.parametrize(
    ("name", "hota", "mota", "idf1", "switches"),
    [("MOT17-09", 0.614393, 0.701596, 0.726983, 9), ("MOT17-11", 0.672509, 0.701568, 0.765130, 10)],
)
def test_published_tracker_has_the_reference_figures(name, hota, mota, idf1, switches) -> None:
    """TrackEval's figures for MPNTrack, to every published digit."""
    if not MOT.is_dir():
        pytest.skip(f"no test data at {MOT}")
    metrics = tracking_metrics(*mot_sequence(name))
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


def test_no_tracks_at_all_score_zero() -> None:
    metrics = tracking_metrics([frame((1, 0))] * 2, [frame()] * 2)
    assert (metrics.hota, metrics.mota, metrics.idf1, metrics.misses) == (0, 0, 0, 2)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(EvaluationError, match="2 frames and the tracks 1"):
        tracking_metrics([frame(), frame()], [frame()])
    with pytest.raises(EvaluationError, match="no object"):
        tracking_metrics([frame()], [frame((1, 0))])
    with pytest.raises(EvaluationError, match=r"frame 1 of the tracks: an id appears twice in \[4, 4\]"):
        tracking_metrics([frame((1, 0))] * 2, [frame(), frame((4, 0), (4, 50))])
    with pytest.raises(EvaluationError, match="frame 0 of the ground truth"):
        tracking_metrics([frame((4, 0), (4, 50))], [frame()])
