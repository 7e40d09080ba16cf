"""The command and the example that reads what it wrote."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_bags import MS, START_NS, drive, latent, twist, write_bag

from robot_vision.cli.main import main

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "train_from_dataset.py"


def words(*bags, out, **options) -> list[str]:
    """A command line."""
    named = {"action": "/cmd_vel:linear.x", "clock": "reception", "format": "npz"} | options
    listed = [text for name, value in named.items() for text in (f"--{name.replace('_', '-')}", *value.split())]
    return ["dataset", *map(str, bags), "--out", str(out), *listed]


def test_latents_and_tracks_are_observed_unless_said_otherwise(tmp_path, capsys) -> None:
    bag = write_bag(tmp_path / "bag", drive(10))
    assert main(words(bag, out=tmp_path / "set")) == 0
    out = capsys.readouterr().out
    assert "1 of 1 bags, 1 episodes, 10 steps (0 left out)" in out
    assert "| /latent  | observation.latent" in out
    description = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert "observation.latent" in description["features"]
    assert description["alignment"][1]["delay_ms"]["median"] == 15.0


def test_a_failed_bag_is_listed_and_the_status_is_1(tmp_path, capsys) -> None:
    bag = write_bag(tmp_path / "bag", drive(10))
    assert main(words(bag, tmp_path / "none", out=tmp_path / "set")) == 1
    caught = capsys.readouterr()
    assert "1 of 2 bags" in caught.out
    assert f"failed: {tmp_path / 'none'}: there is no such bag" in caught.err
    assert (tmp_path / "set" / "dataset.json").exists()


def test_all_options_reach_the_data_set(tmp_path) -> None:
    bag = write_bag(tmp_path / "bag", drive(10))
    options = {
        "observe": "/latent:mean=z", "rate": "5", "max_age": "0.3 /cmd_vel=inf", "invalid": "mask", "gap": "2",
        "reference": "/latent", "task": "drive",
    }  # fmt: skip
    assert main(words(bag, out=tmp_path / "set", **options)) == 0
    description = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert {"observation.z", "observation.z_valid", "action_valid"} <= description["features"].keys()
    assert description["rate_hz"] == 5.0
    assert description["task"] == "drive"
    assert description["rules"]["max_age_s"]["/latent"] == 0.3
    assert description["rules"]["max_age_s"]["/cmd_vel"] > 1e9


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_age": "1 2"}, "--max-age: one age"),
        ({"max_age": "/latent=old"}, "--max-age: 'old' is no number"),
        ({"pad": "/latent=x"}, "--pad"),
        ({"observe": "/latent="}, "expected TOPIC"),
        ({"rate": "nan"}, "rate_hz"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(tmp_path, capsys, options, reason) -> None:
    bag = write_bag(tmp_path / "bag", drive(3))
    assert main(words(bag, out=tmp_path / "set", **options)) == 1
    assert reason in capsys.readouterr().err


def test_a_bag_without_anything_to_observe_says_what_to_do(tmp_path, capsys) -> None:
    bag = write_bag(tmp_path / "bag", [(START_NS, "/cmd_vel", twist(1.0))])
    assert main(words(bag, out=tmp_path / "set")) == 1
    assert "`robot_vision process`" in capsys.readouterr().err


def test_a_terminated_command_leaves_nothing(tmp_path) -> None:
    """As systemd ends it, while messages are read."""
    bag = write_bag(tmp_path / "bag", drive(8_000, period_ms=10))
    command = [sys.executable, "-m", "robot_vision.cli.main", *words(bag, out=tmp_path / "set")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    part = tmp_path / "set.part"
    try:
        for _ in range(600):
            if part.exists():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


@pytest.fixture(scope="module")
def example():
    """The module of the example."""
    pytest.importorskip("torch", reason="torch is not installed: make train-env")
    spec = importlib.util.spec_from_file_location("train_from_dataset", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def driving(seed: int):
    """Latents that wander, and a command that depends on them."""
    rng = np.random.default_rng(seed)
    means = np.cumsum(rng.normal(0, 0.3, (80, 3)), axis=0)
    for index, mean in enumerate(means):
        stamp_ns = START_NS + index * 100 * MS
        yield stamp_ns, "/latent", latent(stamp_ns, mean)
        yield stamp_ns + MS, "/cmd_vel", twist(float(np.tanh(mean[0] - mean[1])))


def test_the_example_learns_what_can_be_learned(tmp_path, capsys, example) -> None:
    """On episodes it has not seen it is far better than the mean, and the same seed gives the same errors."""
    bags = [write_bag(tmp_path / f"bag{seed}", driving(seed)) for seed in range(10)]
    assert main(words(*bags, out=tmp_path / "set")) == 0
    capsys.readouterr()
    printed = []
    for _ in range(2):
        assert example.main([str(tmp_path / "set"), "--epochs", "60", "--out", str(tmp_path / "policy.pt")]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "640 steps learned from, 160 held out" in printed[0]
    mine, mean = (float(number) for number in printed[0].split("linear.x: ")[1].split(", of the mean action "))
    assert mine < 0.5 * mean
    assert (tmp_path / "policy.pt").exists()


def test_the_example_says_what_a_data_set_lacks(tmp_path, capsys, example) -> None:
    bag = write_bag(tmp_path / "bag", [entry for entry in drive(10) if entry[1] == "/latent"])
    assert main(["dataset", str(bag), "--out", str(tmp_path / "set"), "--format", "npz"]) == 0
    assert example.main([str(tmp_path / "set")]) == 1
    assert "--action TOPIC" in capsys.readouterr().err
    assert example.main([str(tmp_path)]) == 1
