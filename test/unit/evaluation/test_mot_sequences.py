"""Sequences in the MOTChallenge format: what counts, which frames are taken when, and what is wrong with a file."""

from __future__ import annotations

import numpy as np
import pytest
from mot_files import write_lines, write_sequence

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.mot import find_sequences, read_rows, read_sequence
from robot_vision.evaluation.sequences import evaluate_sequence
from robot_vision.evaluation.synthetic_tracks import Scene, generate
from robot_vision.params import TrackerParams

INFO = "[Sequence]\nframeRate=20\nseqLength=7\n"
TRUTH = [
    "1,5,10,20,30,40,1,1,0.9",
    "1,6,100,20,30,40,0,8,1",  # a distractor
    "1,7,200,20,30,40,1,3,1",  # a car
    "1,8,300,20,30,40,0,1,1",  # a pedestrian that does not count
    "7,5,11,20,30,40,1,1,0.9",
]
FOUND = ["7,-1,12,20,30,40,0.5,-1,-1,-1", "1,-1,10.5,20,30,40,0.75,-1,-1,-1", "", "8,-1,0,0,9,9,0.5,-1,-1,-1"]


def test_what_counts_by_hand(tmp_path) -> None:
    """Pedestrians are to be followed, distractors need not be, the rest stands by; lines come in any order."""
    sequence = read_sequence(write_lines(tmp_path / "one", TRUTH, FOUND, INFO))
    assert sequence.name == "one"
    assert [frame.stamp_ns for frame in sequence.frames] == [50_000_000 * index for index in range(7)]
    first, last = sequence.frames[0], sequence.frames[-1]
    assert (first.truth.ids.tolist(), first.truth.ignored.tolist()) == ([5, 6], [False, True])
    np.testing.assert_array_equal(first.truth.boxes_xyxy, [[10, 20, 40, 60], [100, 20, 130, 60]])
    np.testing.assert_array_equal(first.bystanders_xyxy[:, 0], [200, 300])
    np.testing.assert_array_equal(first.detections.boxes_xyxy, [[10.5, 20, 40.5, 60]])
    assert first.detections.scores.tolist() == [0.75]
    assert (len(last.truth), len(last.detections), last.detections.scores.tolist()) == (1, 1, [0.5])
    assert [len(frame.detections) for frame in sequence.frames[1:-1]] == [0] * 5


def test_the_second_half_and_every_third_frame(tmp_path) -> None:
    """Of 7 frames 5, 6 and 7, numbered anew in time; thinned ones keep their stamps."""
    folder = write_lines(tmp_path / "one", TRUTH, FOUND, INFO)
    half = read_sequence(folder, second_half=True)
    assert half.name == "one val"
    assert [frame.stamp_ns for frame in half.frames] == [0, 50_000_000, 100_000_000]
    assert [len(frame.detections) for frame in half.frames] == [0, 0, 1]
    thin = read_sequence(folder).thinned(3)
    assert thin.name == "one/3"
    assert [frame.stamp_ns for frame in thin.frames] == [0, 150_000_000, 300_000_000]
    assert [len(frame.truth) for frame in thin.frames] == [2, 0, 1]
    with pytest.raises(EvaluationError, match="the step is at least 1"):
        half.thinned(0)


def test_a_sequence_without_information_needs_a_rate(tmp_path) -> None:
    """MOT15 has files without classes; the last line tells the length."""
    truth = ["1,5,10,20,30,40,1,-1,-1,-1", "3,5,10,20,30,40,1,-1,-1,-1"]
    folder = write_lines(tmp_path / "one", truth, ["2,-1,10,20,30,40,0.9"])
    with pytest.raises(EvaluationError, match=r"one: seqinfo\.ini does not give frameRate; say the rate with --rate"):
        read_sequence(folder)
    assert read_sequence(folder, rate_hz=10.0).name == "one 10 Hz"
    frames = read_sequence(folder, rate_hz=10.0).frames
    assert [len(frame.truth) for frame in frames] == [1, 0, 1]
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]


def test_a_written_scene_scores_as_the_scene_itself(tmp_path) -> None:
    """Figures are the same from a file as from memory, where a distractor stands for what is hidden."""
    frames = tuple(generate(Scene(objects=8, seconds=2.0, height=150.0)))
    sequence = read_sequence(write_sequence(tmp_path / "one", frames, 30.0))
    from_memory = type(sequence)("one", frames)
    one, other = (evaluate_sequence(entry, TrackerParams()).metrics for entry in (sequence, from_memory))
    assert one.hota == pytest.approx(other.hota, abs=1e-6)
    assert (one.misses, one.id_switches, one.frames) == (other.misses, other.id_switches, 60)


def test_sequences_are_found_at_any_depth(tmp_path) -> None:
    for name in ("b/two", "a", "b/one"):
        write_lines(tmp_path / name, TRUTH, FOUND, INFO)
    assert find_sequences(tmp_path) == [tmp_path / "a", tmp_path / "b" / "one", tmp_path / "b" / "two"]
    assert find_sequences(tmp_path / "a") == [tmp_path / "a"]
    (tmp_path / "a" / "gt" / "gt.txt").unlink()
    with pytest.raises(EvaluationError, match=r"a: no sequence; one is a folder with ground truth in gt/gt\.txt"):
        find_sequences(tmp_path / "a")


def test_the_file_of_detections_may_have_another_name(tmp_path) -> None:
    folder = write_lines(tmp_path / "one", TRUTH, FOUND, INFO)
    detections = folder / "det" / "det.txt"
    detections.rename(folder / "det" / "yolo.txt")
    assert len(read_sequence(folder).frames[0].detections) == 1
    (folder / "det" / "other.txt").write_text("")
    with pytest.raises(EvaluationError, match=r"expected det\.txt or one other text file.*found other\.txt, yolo\.txt"):
        read_sequence(folder)
    for path in (folder / "det").iterdir():
        path.unlink()
    with pytest.raises(EvaluationError, match="found none"):
        read_sequence(folder)


@pytest.mark.parametrize("line", ["1,2,3", "1,2,3,4,5,6,x", "1.5,2,3,4,5,6,7", "1,2,nan,4,5,6,7", "1;2;3;4;5;6;7"])
def test_a_malformed_line_is_named_with_its_number(tmp_path, line) -> None:
    """The file and the line, so that it can be mended; empty lines are none."""
    path = tmp_path / "det.txt"
    path.write_text(f"1,-1,10,20,30,40,0.9,-1\n\n{line}\n")
    with pytest.raises(EvaluationError, match=r"det\.txt:3: expected 7 or more numbers") as raised:
        read_rows(path, 7)
    assert line in str(raised.value)


def test_files_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(EvaluationError, match=r"gt\.txt: cannot be read"):
        read_sequence(tmp_path)
    path = tmp_path / "det.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match=r"det\.txt: cannot be read"):
        read_rows(path, 7)
    for text in ("no section\n", "[Sequence]\nseqLength=many\n"):
        folder = write_lines(tmp_path / "one", TRUTH, FOUND, text)
        with pytest.raises(EvaluationError, match=r"seqinfo\.ini: cannot be understood"):
            read_sequence(folder)


def test_what_cannot_be_scored_names_its_sequence(tmp_path) -> None:
    empty = write_lines(tmp_path / "empty", [], FOUND, INFO)
    with pytest.raises(EvaluationError, match="empty: the ground truth holds no object"):
        evaluate_sequence(read_sequence(empty), TrackerParams())
    short = write_lines(tmp_path / "short", TRUTH[:1], FOUND, "[Sequence]\nframeRate=20\nseqLength=1\n")
    with pytest.raises(EvaluationError, match="short val: no frame is left"):
        evaluate_sequence(read_sequence(short, second_half=True), TrackerParams())
