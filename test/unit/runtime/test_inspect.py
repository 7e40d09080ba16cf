"""`robot_vision inspect`: what a user reads before trusting an export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_writer import write_network

from robot_vision.cli.main import main


def test_a_shipped_detector_with_its_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "simworld_yolo"]) == 0
    said = capsys.readouterr().out
    assert "recognised  yolov8: output [free, 11, 8500], and an input of 320x320 has 8500 cells" in said
    assert "image       320x320 RGB, letterbox, padding 114" in said
    assert "classes     7: box, ball, can, cone, mug, bottle, robot" in said


def test_what_cannot_be_told_ends_with_the_card_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Facts first, then the card, and an exit status that a script can test."""
    logits, boxes = np.zeros((1, 300, 80), np.float32), np.zeros((1, 300, 4), np.float32)
    path = write_network(tmp_path / "own.onnx", [1, 3, 640, 640], {"logits": logits, "pred_boxes": boxes})
    assert main(["inspect", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "output      pred_boxes [1, 300, 4]" in out
    assert "recognised  detr" in out
    assert "head: detr" in err
    assert "resize: stretch" in err


def test_an_encoder_has_no_detector_layout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "simworld_vae_encoder"]) == 0
    said = capsys.readouterr().out
    assert "recognised  as no detector layout" in said
    assert "task        latent_encoder" in said


def test_no_such_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "/nowhere/net.onnx"]) == 1
    assert "/nowhere/net.onnx: no such file" in capsys.readouterr().err
