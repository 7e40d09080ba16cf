"""`robot_vision evaluate tracker`: from sequences and scenes to a table and a report."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import pytest
from mot_files import write_sequence

from robot_vision.cli.main import main
from robot_vision.evaluation import synthetic_tracks
from robot_vision.evaluation.sequences import evaluate_sequence
from robot_vision.evaluation.synthetic_tracks import Scene, generate, synthetic_sequence
from robot_vision.params import TrackerParams

SMALL = Scene(objects=6, seconds=2.0)


@pytest.fixture
def scenes(monkeypatch) -> None:
    """Two short scenes instead of the known ones."""
    monkeypatch.setattr(synthetic_tracks, "SCENES", {"small": SMALL, "misses": replace(SMALL, miss_rate=0.4)})


def evaluate(*words) -> int:
    return main(["evaluate", "tracker", *map(str, words)])


def test_sequences_and_scenes_in_one_table(scenes, tmp_path, capsys) -> None:
    """Figures are those of the metrics themselves, in percent; the mean is over sequences."""
    write_sequence(tmp_path / "data" / "walk", list(generate(SMALL, 1)), 30.0)
    words = ["--sequences", tmp_path / "data", "--scenes", "misses", "--seed", 2, "--out", tmp_path / "new" / "out"]
    assert evaluate(*words) == 0
    said = capsys.readouterr().out
    report = json.loads((tmp_path / "new" / "out" / "report.json").read_text())
    assert [entry["name"] for entry in report["sequences"]] == ["walk", "misses 2"]
    expected = evaluate_sequence(synthetic_sequence("misses", 2), TrackerParams()).metrics
    assert report["sequences"][1]["metrics"]["hota"] == expected.hota
    assert report["sequences"][1]["update"]["count"] == expected.frames == 60
    rows = [line.split("|")[1:-1] for line in said.splitlines() if line.startswith("| ")]
    assert [cell.strip() for cell in rows[0]] == [
        "sequence", "frames", "HOTA", "DetA", "AssA", "MOTA", "IDF1", "id switches", "ms p50", "ms p95",
    ]  # fmt: skip
    hota = {row[0].strip(): float(row[2]) for row in rows[2:]}
    assert hota["misses 2"] == pytest.approx(100 * expected.hota, abs=0.006)
    assert hota["mean"] == pytest.approx((hota["walk"] + hota["misses 2"]) / 2, abs=0.011)
    text = (tmp_path / "new" / "out" / "report.md").read_text()
    assert all(line in text for line in said.splitlines() if line.startswith("| "))
    assert "| match_threshold" in text and f"`{TrackerParams().match_threshold}`" in text


def test_without_a_word_all_scenes(scenes, tmp_path) -> None:
    assert evaluate("--out", tmp_path) == 0
    names = [entry["name"] for entry in json.loads((tmp_path / "report.json").read_text())["sequences"]]
    assert names == ["small 0", "misses 0"]


def test_every_kth_frame_of_the_second_half(scenes, tmp_path) -> None:
    write_sequence(tmp_path / "walk", list(generate(SMALL)), 30.0)
    assert evaluate("--sequences", tmp_path / "walk", "--val", "--every", 4, "--out", tmp_path / "out") == 0
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["sequences"]
    assert (entry["name"], entry["metrics"]["frames"]) == ("walk val/4", 8)


def test_settings_of_the_tracker_are_options(scenes, tmp_path, capsys) -> None:
    """They have their effect, and are checked by their definitions."""
    assert evaluate("--scenes", "small", "--new-track-threshold", 1, "--out", tmp_path) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["sequences"][0]["metrics"]["hota"] == 0
    assert report["facts"]["new_track_threshold"] == "1.0"
    assert evaluate("--scenes", "small", "--lost-time", 61, "--out", tmp_path) == 1
    assert "lost_time: must be within [0, 60] s" in capsys.readouterr().err


def test_mistakes_are_told(scenes, tmp_path, capsys) -> None:
    """What is missing, unknown or given twice."""
    assert evaluate("--scenes", "moon", "--out", tmp_path) == 1
    assert "unknown scene 'moon'; known are small, misses" in capsys.readouterr().err
    assert evaluate("--sequences", tmp_path, "--out", tmp_path) == 1
    assert "gt/gt.txt" in capsys.readouterr().err
    assert evaluate("--scenes", "small", "small", "--out", tmp_path) == 1
    assert "2 sequences are called small 0; give each once" in capsys.readouterr().err
    folder = write_sequence(tmp_path / "walk", list(generate(SMALL)), 30.0)
    with (folder / "det" / "det.txt").open("a") as file:
        file.write("61,-1,oops\n")
    line = len((folder / "det" / "det.txt").read_text().splitlines())
    assert evaluate("--sequences", folder, "--out", tmp_path) == 1
    assert f"det.txt:{line}: expected 7 or more numbers" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert evaluate("--scenes", "small", "--out", tmp_path / "file") == 1
    assert "the report cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--every", "0"], ["--rate", "-3"], ["--rate", "x"], ["--every", "1.5"], ["--seed", "-1"]]
)
def test_wrong_usage(words, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        evaluate("--out", tmp_path, *words)
    assert stop.value.code == 2
    assert f"{words[1]!r} is no" in capsys.readouterr().err


def test_tracking_needs_no_plots(scenes, tmp_path, monkeypatch) -> None:
    """Only what is used is asked for."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert evaluate("--scenes", "small", "--out", tmp_path) == 0
