"""The example that compares agents: a very short run of it, its continuation, and what it counts."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'robot_vision[rl]'")
pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed: pip install stable-baselines3")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'robot_vision[evaluation]'")

pytestmark = pytest.mark.usefixtures("simulator")

FILE = Path(__file__).resolve().parents[3] / "examples" / "train_agent.py"
WORDS = ["--encoder", "vae=simworld_vae_encoder", "--steps", "128", "--seeds", "1", "--episodes", "1"]


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("train_agent_example", FILE)
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for their module.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def out(example, tmp_path_factory) -> Path:
    """The results of a short comparison of all three kinds of agent."""
    folder = tmp_path_factory.mktemp("agents")
    assert example.main(["--out", str(folder), *WORDS]) == 0
    return folder


def test_a_short_run_gives_curves_and_a_summary(out: Path) -> None:
    """For state, pixels and the encoder alike."""
    assert (out / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["agents"]) == ["state", "pixels", "vae"]
    for agent in summary["agents"].values():
        assert len(agent["final_returns"]) == len(agent["steps_to_share"]) == 1
        assert -80 < agent["final_return_mean"] < 2
    run = json.loads((out / "runs" / "vae_seed0.json").read_text())
    assert run["episode_ends"][-1] <= 128
    assert len(run["run"]["encoder_hash"]) == 64


def test_finished_runs_are_not_trained_again(example, out: Path, monkeypatch) -> None:
    """Those that are missing are, and a run with other settings is an error that names the file."""
    (out / "runs" / "state_seed0.json").unlink()
    trained = []
    honest = example.train
    monkeypatch.setattr(example, "train", lambda run: trained.append(run.name) or honest(run))
    assert example.main(["--out", str(out), *WORDS]) == 0
    assert trained == ["state"]


def test_a_run_with_other_settings_is_an_error(example, out: Path, capsys) -> None:
    assert example.main(["--out", str(out), *WORDS, "--size-px", "32"]) == 1
    said = capsys.readouterr().err
    assert "state_seed0.json holds another run" in said
    assert "give another --out" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encoder", "pixels=simworld_vae_encoder"], "expected NAME=MODEL"),
        (["--encoder", "simworld_vae_encoder"], "expected NAME=MODEL"),
        (["--steps", "0"], "expected a whole number above 0"),
    ],
)
def test_a_wrong_command_line_is_told(example, tmp_path: Path, capsys, words, said) -> None:
    with pytest.raises(SystemExit):
        example.main(["--out", str(tmp_path), *words])
    assert said in capsys.readouterr().err


def test_only_what_there_is_can_be_chosen(example, tmp_path: Path, capsys) -> None:
    assert example.main(["--out", str(tmp_path), "--only", "lidar"]) == 1
    assert "--only lidar: there is only state, pixels" in capsys.readouterr().err


def test_a_curve_is_the_mean_of_the_episodes_that_end_in_each_part(example) -> None:
    """Fifty parts; a part without an end repeats the one before."""
    result = {"episode_ends": [15, 20, 31, 95], "episode_returns": [-4.0, -2.0, -1.0, 0.5]}
    values = example.curve(result, 500)
    assert len(values) == 50
    assert math.isnan(values[0])
    assert values[1:5] == [-3.0, -3.0, -1.0, -1.0]
    assert values[9:] == [0.5] * 41
    assert example.first_step_above(values, 500, -1.0) == 40
    assert example.first_step_above(values, 500, 1.0) is None


def test_the_threshold_lies_four_fifths_of_the_way_from_chance_to_the_state_agent(example) -> None:
    runs = [
        {"run": {"name": name}, "final_return": final, "episode_ends": [100, 500], "episode_returns": [-30.0, last]}
        for name, final, last in (("state", -2.0, -6.0), ("state", -4.0, -8.9), ("slow", -20.0, -20.0))
    ]
    summary = example.summary(runs, 500, chance=-33.0)
    assert summary["threshold_return"] == pytest.approx(-9.0)
    assert summary["agents"]["state"]["steps_to_share"] == [500, 500]
    assert summary["agents"]["slow"]["steps_to_share"] == [None]
    assert summary["agents"]["state"]["final_return_mean"] == pytest.approx(-3.0)
