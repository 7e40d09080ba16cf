"""The command line of the simulated world."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from robot_vision.cli.main import main
from robot_vision.cli.sim import size


def test_a_data_set_is_written_by_the_command(tmp_path: Path) -> None:
    words = ["sim", "dataset", "--out", str(tmp_path), "--images", "1", "--size", "64x48"]
    assert main(words) == 0
    assert (tmp_path / "annotations.json").is_file()


def test_a_wrong_theme_is_reported_and_leaves_no_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "bag", "--out", str(tmp_path / "bag"), "--theme", "moon"]) == 1
    assert "moon" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()


def test_size_reads_width_and_height() -> None:
    assert size("640x480") == (640, 480)
    for wrong in ("640", "x", "640x", "-1x5", "axb"):
        with pytest.raises(argparse.ArgumentTypeError, match="640x480"):
            size(wrong)
