"""A report against an earlier one: what fell is found, and the command's exit status says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from robot_vision.cli.main import main
from robot_vision.errors import EvaluationError
from robot_vision.evaluation import synthetic_tracks
from robot_vision.evaluation.baseline import falls, read_report
from robot_vision.evaluation.synthetic_tracks import Scene

REPORT = {
    "facts": {"threads": "1"},
    "average_precision": {"ap": 0.7, "ap50": 0.9, "ap_by_class": {"box": 0.6, "cup": 0.8}},
    "sequences": [{"name": "street", "metrics": {"hota": 0.5, "id_switches": 3, "frames": 10}}],
    "models": [{"name": "vae", "psnr_db": 20.0, "ssim": None}],
}


def written(folder: Path, content: object) -> Path:
    path = folder / "report.json"
    path.write_text(json.dumps(content))
    return path


def test_figures_that_should_be_large_are_read_from_anywhere_in_a_report(tmp_path: Path) -> None:
    assert read_report(written(tmp_path, REPORT)) == {
        "average_precision.ap": 0.7,
        "average_precision.ap50": 0.9,
        "average_precision.ap_by_class.box": 0.6,
        "average_precision.ap_by_class.cup": 0.8,
        "sequences.street.metrics.hota": 0.5,
        "models.vae.psnr_db": 20.0,
    }


def test_only_what_fell_by_more_than_the_margin_counts() -> None:
    before = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5, "e": float("nan")}
    now = {"a": 0.4901, "b": 0.48, "c": float("nan"), "new": 0.1}
    found = falls(now, before, 0.01)
    assert {fall.name for fall in found} == {"b", "c", "d"}
    assert found[-1].name == "b", "what is no number any more comes first"
    assert "d: 0.5000 before, not measured any more" in map(str, found)


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"absent.json: the report cannot be read"):
        read_report(tmp_path / "absent.json")
    with pytest.raises(EvaluationError, match=r"report.json: holds none of the figures"):
        read_report(written(tmp_path, {"frames": 3}))
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(EvaluationError, match=r"report.json: no report, it is not JSON"):
        read_report(tmp_path / "report.json")


def test_a_worse_tracker_fails_and_the_same_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = Scene(objects=6, seconds=2.0)
    monkeypatch.setattr(synthetic_tracks, "SCENES", {"small": small, "misses": replace(small, miss_rate=0.4)})
    out = tmp_path / "good"
    command = ["evaluate", "tracker", "--scenes", "misses", "--out"]
    assert main([*command, str(out)]) == 0
    assert main([*command, str(out), "--baseline", str(out / "report.json")]) == 0
    assert "0 of" in capsys.readouterr().out
    worse = [*command, str(tmp_path / "bad"), "--lost-time", "0.05", "--baseline", str(out / "report.json")]
    assert main(worse) == 1
    assert "fell: sequences.misses" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "c"), "--baseline", str(tmp_path / "absent.json")]) == 1
    assert not (tmp_path / "c").exists()
