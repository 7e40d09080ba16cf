"""Options from settings, and the recorded command back from them; needs no torch."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from robot_vision.cli import train
from robot_vision.train.detector_settings import DetectorTraining
from robot_vision.train.options import about, add_arguments, command_line, from_arguments


@dataclass(frozen=True)
class Example:
    """A setting of every kind."""

    epochs: int = field(default=3, metadata=about("passes"))
    mirror_images: bool = field(default=True, metadata=about("mirror"))
    work: Path = field(default=Path("w"), metadata=about("folder", shown=False))


@pytest.mark.parametrize("words", ["", "--epochs 5", "--no-mirror-images", "--epochs 5 --no-mirror-images"])
def test_the_recorded_command_gives_the_same_settings(words: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Example)
    settings = from_arguments(parser.parse_args([*shlex.split(words), "--work", "elsewhere"]), Example)
    assert command_line("train", settings) == f"train {words}".strip()


def test_the_shipped_detector_needs_no_option() -> None:
    """The documented command is the whole recipe: the defaults are those of the shipped network."""
    parser = argparse.ArgumentParser()
    train.configure(parser)
    args = parser.parse_args(["detector"])
    settings = from_arguments(args, DetectorTraining)
    assert settings == DetectorTraining()
    assert settings.onnx_path == Path("models/simworld_yolo.onnx")
    own = DetectorTraining(data=Path("mine"), work=Path("runs/a"))
    assert own.onnx_path == Path("runs/a/detector.onnx"), "other data must not replace the shipped network"
    assert DetectorTraining(out=Path("a/v1.5.onnx")).onnx_path == Path("a/v1.5.onnx")
    assert DetectorTraining(out=Path("a/v1.5")).onnx_path == Path("a/v1.5.onnx")
    assert command_line("robot_vision train detector", settings) == "robot_vision train detector"


def test_the_command_line_needs_no_torch() -> None:
    """Without torch, help works and training is one clear line that says what to do."""
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from robot_vision.cli.main import main\n"
        "code = main(['train', 'detector', '--epochs', '1'])\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    # Whichever of the training packages is looked for first.
    assert re.search(r"training needs (torch|onnx); install it with: make train-env", done.stderr)
