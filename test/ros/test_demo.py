"""`robot_vision demo` as its user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from robot_vision.data.bags import BagReader
from robot_vision.shipped import shared_file

DEMO = [sys.executable, "-m", "robot_vision.cli.main", "demo"]


def test_it_leaves_everything_that_the_readme_promises(tmp_path: Path) -> None:
    """Video, contact sheet, result bag and report; one message of each result for each processed frame.

    And the parameter file reaches the pipeline: nothing but cones is found.
    """
    out = tmp_path / "out"
    params = tmp_path / "params.yaml"
    params.write_text("/**:\n  ros__parameters:\n    detector.classes: [cone]\n")
    sample = shared_file("samples/simworld_uav")
    command = [*DEMO, "--bag", sample, "--params", params, "--out", out]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"annotated.mp4", "contact_sheet.png", "report.md", "report.json", "results"} <= {
        p.name for p in out.iterdir()
    }
    with BagReader(out / "results") as bag:
        counts = {name: topic.message_count for name, topic in bag.topics.items()}
        arrays = [message for _, message in bag.messages("/detections")]
    assert {found.results[0].hypothesis.class_id for array in arrays for found in array.detections} == {"cone"}
    assert counts["/detections"] == counts["/tracks"] == counts["/track_states"] == counts["/latent"] > 0
    report = json.loads((out / "report.json").read_text())
    assert report["problems"] == []
    assert report["outputs"]["detections"]["restamped"] == 0


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """Only what a demo wrote is emptied."""
    (tmp_path / "report.json").write_text("mine")
    done = subprocess.run([*DEMO, "--out", tmp_path], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "was not written by a demo" in done.stderr
    assert (tmp_path / "report.json").read_text() == "mine"


def test_a_model_that_is_not_there_is_named_without_a_traceback(tmp_path: Path) -> None:
    """The other processes are ended quietly."""
    command = [*DEMO, "--model", "/nowhere/net.onnx", "--out", tmp_path / "out"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "/nowhere/net.onnx" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_parameter_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = [*DEMO, "--params", tmp_path / "none.yaml", "--out", tmp_path / "out"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "none.yaml: there is no such file" in done.stderr


def test_an_interrupt_ends_all_of_it_quietly(tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal's group."""
    command = [*DEMO, "--out", tmp_path / "out"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    for line in running.stdout:
        if line.startswith("frames"):
            break
    os.killpg(running.pid, signal.SIGINT)
    output, _ = running.communicate(timeout=30)
    assert running.returncode == 130, output
    assert "Traceback" not in output
