"""Trains one agent on the state, on pixels and on latents of any encoders, and compares how fast it learns.

    pip install "robot_vision[rl,sim,cpu,evaluation]" stable-baselines3
    python examples/train_agent.py --out agents --encoder shipped=simworld_vae_encoder --encoder mine=vae/encoder.onnx

The task is `robot_vision/Reach-v0`, the agent PPO (Schulman et al., arXiv:1707.06347) of Stable-Baselines3 with the
same settings, steps and seeds everywhere; a convolutional network in front of it learns from the pixels. `--out` gets
one file a run, `learning_curves.png` (mean and standard error over the seeds) and `summary.json`. Interrupted, the
command goes on with the first run that is not finished.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from robot_vision.errors import RobotVisionError
from robot_vision.rl.latent_image import LatentImage
from robot_vision.rl.reach import ENV_ID
from robot_vision.runtime.card import load_card

STATE, PIXELS = "state", "pixels"
ROLLOUT_STEPS = 1024
BATCH_SIZE = 128
SETTINGS = {"learning_rate": 7e-4, "gamma": 0.95, "n_epochs": 10}
EVALUATION_SEED = 1_000_000
BINS = 50
SHARE = 0.8

Result = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: What the agent sees: `state`, `pixels` or the name of an encoder.
        encoder: Shipped model's name or path of an ONNX file; empty for state and pixels.
        encoder_hash: The encoder's identity; empty for state and pixels.
        seed: Decides the agent and the episodes.
        steps: Environment steps.
        size_px: Side of the camera's image.
        episodes: Episodes of the evaluation after training.
    """

    name: str
    encoder: str
    encoder_hash: str
    seed: int
    steps: int
    size_px: int
    episodes: int


def make_environment(run: Run) -> VecEnv:
    """The task as one agent sees it; vectors are standardised with running statistics, images are left alone."""
    image = run.name != STATE
    options = {"observation": PIXELS, "size_px": run.size_px} if image else {"observation": STATE}
    env: gymnasium.Env[Any, Any] = gymnasium.make(ENV_ID, **options)
    if run.encoder:
        env = LatentImage(env, run.encoder)
    vectorised = DummyVecEnv([lambda: Monitor(env)])
    return vectorised if run.name == PIXELS else VecNormalize(vectorised, norm_reward=False)


def train(run: Run) -> Result:
    """Train one agent and evaluate it without exploration.

    Args:
        run: What to train.

    Returns:
        What is written to the run's file: `episode_ends` in steps, `episode_returns`, and `final_return`, the mean
        over further episodes, which are the same for all agents.
    """
    env = make_environment(run)
    rollout = min(ROLLOUT_STEPS, run.steps)
    policy = "CnnPolicy" if run.name == PIXELS else "MlpPolicy"
    agent = PPO(
        policy, env, seed=run.seed, device="cpu", n_steps=rollout, batch_size=min(BATCH_SIZE, rollout), **SETTINGS
    )
    agent.learn(run.steps)
    returns, lengths = env.env_method("get_episode_rewards")[0], env.env_method("get_episode_lengths")[0]
    result = {
        "run": asdict(run),
        "episode_ends": np.cumsum(lengths).astype(int).tolist(),
        "episode_returns": [float(value) for value in returns],
    }
    if isinstance(env, VecNormalize):
        env.training = False
    env.seed(EVALUATION_SEED)
    result["final_return"] = float(evaluate_policy(agent, env, n_eval_episodes=run.episodes)[0])
    env.close()
    return result


def random_return(episodes: int) -> float:
    """Mean return of an agent that draws its actions at random."""
    env = gymnasium.make(ENV_ID)
    env.action_space.seed(0)
    total = 0.0
    for episode in range(episodes):
        env.reset(seed=EVALUATION_SEED if episode == 0 else None)
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total, over = total + float(reward), terminated or truncated
    env.close()
    return total / episodes


def finished(path: Path, run: Run) -> Result | None:
    """The result of an earlier call.

    Args:
        path: The run's file.
        run: What it should hold.

    Returns:
        The result; None if the run is still to be done.

    Raises:
        RobotVisionError: If the file holds a run with other settings.
    """
    if not path.exists():
        return None
    result: Result = json.loads(path.read_text())
    if result["run"] != asdict(run):
        raise RobotVisionError(f"{path} holds another run, {result['run']}; give another --out, or delete the file")
    return result


def results_of(runs: Sequence[Run], folder: Path) -> list[Result]:
    """Train what is not trained yet.

    Args:
        runs: What to train.
        folder: Where the runs' files are.

    Returns:
        One result a run, in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for number, run in enumerate(runs, start=1):
        path = folder / f"{run.name}_seed{run.seed}.json"
        result = finished(path, run)
        if result is None:
            result = train(run)
            unfinished = path.with_suffix(".part")
            unfinished.write_text(json.dumps(result))
            unfinished.replace(path)
        print(f"[{number}/{len(runs)}] {run.name}, seed {run.seed}: return {result['final_return']:.2f}", flush=True)
        results.append(result)
    return results


def curve(result: Result, steps: int) -> list[float]:
    """Learning curve of one run.

    Args:
        result: The run's result.
        steps: Environment steps of the run.

    Returns:
        Mean return of the episodes that ended in each of `BINS` equal parts of the steps; where none did, that of the
        part before, or NaN.
    """
    ends, returns = np.array(result["episode_ends"]), np.array(result["episode_returns"])
    values, last = [], float("nan")
    for part in range(BINS):
        inside = (ends > part * steps / BINS) & (ends <= (part + 1) * steps / BINS)
        last = float(returns[inside].mean()) if inside.any() else last
        values.append(last)
    return values


def first_step_above(values: Sequence[float], steps: int, threshold: float) -> int | None:
    """Steps after which a learning curve first reaches a return; None if it never does."""
    reached = np.flatnonzero(np.array(values) >= threshold)
    return round((int(reached[0]) + 1) * steps / BINS) if len(reached) else None


def summary(results: Sequence[Result], steps: int, chance: float) -> dict[str, Any]:
    """What the runs came to, by what the agent saw.

    Args:
        results: All runs.
        steps: Environment steps of each.
        chance: Return of random actions.

    Returns:
        `final_returns` and `steps_to_share` of each seed (null where it was not reached) by name; the latter is counted
        to `threshold_return`, which lies 80 % of the way from random actions to the state agent.
    """
    names = list(dict.fromkeys(result["run"]["name"] for result in results))
    by_name = {name: [result for result in results if result["run"]["name"] == name] for name in names}
    threshold = None
    if STATE in by_name:
        best = float(np.mean([result["final_return"] for result in by_name[STATE]]))
        threshold = chance + SHARE * (best - chance)
    agents = {
        name: {
            "final_returns": [result["final_return"] for result in group],
            "final_return_mean": float(np.mean([result["final_return"] for result in group])),
            "steps_to_share": [
                None if threshold is None else first_step_above(curve(result, steps), steps, threshold)
                for result in group
            ],
        }
        for name, group in by_name.items()
    }
    return {"steps": steps, "share": SHARE, "random_return": chance, "threshold_return": threshold, "agents": agents}


def plot(results: Sequence[Result], steps: int, chance: float, path: Path) -> None:
    """Draw mean and standard error over the seeds.

    Args:
        results: All runs.
        steps: Environment steps of each.
        chance: Return of random actions.
        path: PNG to write.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and only needed here

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    centres = (np.arange(BINS) + 0.5) * steps / BINS
    for name, curves in _curves_by_name(results, steps).items():
        mean, error = curves.mean(axis=0), curves.std(axis=0, ddof=min(1, len(curves) - 1)) / np.sqrt(len(curves))
        (line,) = axes.plot(centres, mean, label=f"{name}, n = {len(curves)}")
        axes.fill_between(centres, mean - error, mean + error, color=line.get_color(), alpha=0.25, linewidth=0)
    axes.axhline(chance, color="grey", linestyle=":", label="random actions")
    axes.set(xlabel="environment steps", ylabel="return of an episode")
    axes.legend()
    figure.savefig(path, dpi=120)


def _curves_by_name(results: Sequence[Result], steps: int) -> Mapping[str, np.ndarray]:
    curves: dict[str, list[list[float]]] = {}
    for result in results:
        curves.setdefault(result["run"]["name"], []).append(curve(result, steps))
    return {name: np.array(group) for name, group in curves.items()}


def wanted_runs(args: argparse.Namespace) -> list[Run]:
    """All runs of a command line, seed by seed, so that an interrupted comparison has equal numbers of each."""
    encoders = dict.fromkeys((STATE, PIXELS), "") | dict(args.encoder)
    unknown = set(args.only) - set(encoders)
    if unknown:
        raise RobotVisionError(f"--only {', '.join(sorted(unknown))}: there is only {', '.join(encoders)}")
    kept = {name: model for name, model in encoders.items() if not args.only or name in args.only}
    hashes = {name: load_card(model).identity_hash if model else "" for name, model in kept.items()}
    return [
        Run(name, model, hashes[name], seed, args.steps, args.size_px, args.episodes)
        for seed in range(args.seeds)
        for name, model in kept.items()
    ]


def _named_encoder(text: str) -> tuple[str, str]:
    name, separator, model = text.partition("=")
    if not (separator and model and name.replace("-", "_").isidentifier()) or name in (STATE, PIXELS):
        raise argparse.ArgumentTypeError(f"expected NAME=MODEL with a word as the name, got {text!r}")
    return name, model


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument(
        "--encoder", type=_named_encoder, action="append", default=[], metavar="NAME=MODEL",
        help="also learn from this encoder's latents: a shipped model's name or the path of an ONNX file; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="state, pixels or an encoder's name; repeatable"
    )
    parser.add_argument("--seeds", type=_positive, default=3, help="trainings of each")
    parser.add_argument("--steps", type=_positive, default=50_000, help="environment steps of each")
    parser.add_argument("--size-px", type=_positive, default=64, help="side of the camera's image")
    parser.add_argument("--episodes", type=_positive, default=30, help="episodes of the evaluation after each training")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run the comparison.

    Args:
        words: Command line; None takes the program's.

    Returns:
        Exit status.
    """
    args = parse(words)
    torch.set_num_threads(1)
    try:
        results = results_of(wanted_runs(args), args.out / "runs")
    except RobotVisionError as error:
        print(f"train_agent: {error}", file=sys.stderr)
        return 1
    chance = random_return(args.episodes)
    (args.out / "summary.json").write_text(json.dumps(summary(results, args.steps, chance), indent=2))
    plot(results, args.steps, chance, args.out / "learning_curves.png")
    print(f"results in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
