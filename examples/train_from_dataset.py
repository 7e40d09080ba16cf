"""Learns to drive from recordings: behaviour cloning of the recorded command from latents and tracks.

    robot_vision process recordings/* --out processed --with-inputs
    robot_vision dataset processed/* --out drive --action /cmd_vel:linear.x,angular.z
    pip install "robot_vision[train]" pyarrow
    python examples/train_from_dataset.py drive --out policy.pt

A small network is fitted to the action that was recorded at each step (Pomerleau, "ALVINN", NeurIPS 1988). The last
episodes, a fifth of them, are held out; of a single episode its last fifth, after a second that is used by neither. The
error on them is compared with that of always giving the mean action. Every vector that starts with `observation.` is
seen; rows without a track are zeros, as `rl.LatentObservation` gives them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from robot_vision.data.dataset.storage import PlainDataset
from robot_vision.errors import RobotVisionError

ACTION = "action"
HIDDEN = 128
BATCH = 256
WEIGHT_DECAY = 1e-2
DROPOUT = 0.2
MOST_DEVIATIONS = 5.0
"""Observations are cut at so many standard deviations, which are tiny for rows of tracks that are seldom filled."""
HELD_OUT = 5
"""One in so many episodes or steps is held out."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Steps:
    """Observations and actions.

    Attributes:
        seen: (N, D) float32.
        actions: (N, A) float32.
    """

    seen: Array
    actions: Array


def observation_columns(data: PlainDataset) -> list[str]:
    """Names of the columns that the policy sees: all vectors and masks, no pictures, ids or flags.

    Args:
        data: The data set.
    """
    features = data.description["features"].items()
    return [
        name
        for name, entry in features
        if name.startswith("observation.") and 0 < len(entry["shape"]) < 3 and not name.endswith("_ids")
    ]


def episode_steps(data: PlainDataset, index: int) -> Steps:
    """The usable steps of one episode.

    Args:
        data: The data set.
        index: Number of the episode.

    Returns:
        Its steps; where the data set marks what is valid, only those that are.
    """
    columns = data.episode(index)
    count = len(columns[ACTION])
    valid = np.all([np.ones(count, bool), *(v for name, v in columns.items() if name.endswith("_valid"))], axis=0)
    seen = [columns[name].reshape(count, -1) for name in observation_columns(data)]
    return Steps(np.hstack(seen).astype(np.float32)[valid], columns[ACTION].astype(np.float32)[valid])


def split(data: PlainDataset) -> tuple[Steps, Steps]:
    """Steps to learn from and steps to be judged by, which no episode shares.

    Args:
        data: The data set.

    Returns:
        Both.

    Raises:
        RobotVisionError: If the data set has no action, nothing to see, or too few steps.
    """
    if ACTION not in data.description["features"] or not observation_columns(data):
        raise RobotVisionError(f"{data.folder}: needs an action and vectors to observe; make it with --action TOPIC")
    episodes = [episode_steps(data, index) for index in range(len(data))]
    if len(episodes) == 1:
        (only,) = episodes
        edge, pause = len(only.seen) * (HELD_OUT - 1) // HELD_OUT, round(data.description["rate_hz"])
        parts = [_part(only, 0, edge - pause), _part(only, edge, len(only.seen))]
    else:
        edge = len(episodes) - max(1, len(episodes) // HELD_OUT)
        parts = [_joined(episodes[:edge]), _joined(episodes[edge:])]
    if min(len(part.seen) for part in parts) < 2:
        raise RobotVisionError(f"{data.folder}: too few steps to learn from and to hold out")
    return parts[0], parts[1]


def _part(steps: Steps, start: int, end: int) -> Steps:
    return Steps(steps.seen[start : max(start, end)], steps.actions[start : max(start, end)])


def _joined(episodes: Sequence[Steps]) -> Steps:
    return Steps(np.vstack([entry.seen for entry in episodes]), np.vstack([entry.actions for entry in episodes]))


class Policy(torch.nn.Module):
    """Observation to action; what it needs to standardise them travels with the weights.

    Args:
        steps: Steps whose mean and spread are taken.
    """

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        for name, values in (("seen", steps.seen), ("action", steps.actions)):
            spread = values.std(axis=0)
            self.register_buffer(f"{name}_mean", torch.from_numpy(values.mean(axis=0)))
            # What never changes in training says nothing, and would be noise out of all proportion later.
            self.register_buffer(f"{name}_scale", torch.from_numpy(np.where(spread > 1e-6, spread, np.inf)))
        self.layers = torch.nn.Sequential(
            torch.nn.Dropout(DROPOUT),
            torch.nn.Linear(steps.seen.shape[1], HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Linear(HIDDEN, steps.actions.shape[1]),
        )

    def standardised(self, actions: torch.Tensor) -> torch.Tensor:
        """Actions (N, A) in standard deviations from their mean."""
        return (actions - self.action_mean) / self.action_scale

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """(N, D) observations to (N, A) standardised actions."""
        deviations = (seen - self.seen_mean) / self.seen_scale
        return self.layers(deviations.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS))

    def act(self, seen: torch.Tensor) -> torch.Tensor:
        """(N, D) observations to (N, A) actions as recorded."""
        finite = torch.where(torch.isinf(self.action_scale), 0, self.action_scale)
        return self(seen) * finite + self.action_mean


def train(steps: Steps, epochs: int, seed: int) -> Policy:
    """Fit a policy.

    Args:
        steps: Steps to learn from.
        epochs: Passes over them.
        seed: Decides the weights and the order.

    Returns:
        The policy.
    """
    torch.manual_seed(seed)
    policy = Policy(steps)
    optimiser = torch.optim.AdamW(policy.parameters(), lr=1e-3, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    seen, actions = torch.from_numpy(steps.seen), policy.standardised(torch.from_numpy(steps.actions))
    for _ in range(epochs):
        for batch in torch.randperm(len(seen)).split(BATCH):
            loss = torch.nn.functional.mse_loss(policy(seen[batch]), actions[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return policy.eval()


def errors(policy: Policy, held_out: Steps) -> tuple[Array, Array]:
    """Root mean square errors on steps that were not learned from.

    Args:
        policy: The policy.
        held_out: The steps.

    Returns:
        (A,) of the policy and (A,) of the mean of the training actions, in the units of the action.
    """
    with torch.no_grad():
        predicted = policy.act(torch.from_numpy(held_out.seen)).numpy()
    mean = policy.action_mean.numpy()
    return tuple(np.sqrt(np.mean((held_out.actions - guess) ** 2, axis=0)) for guess in (predicted, mean))


def main(words: Sequence[str] | None = None) -> int:
    """Train and print the errors.

    Args:
        words: Command line; None takes the program's.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder that `robot_vision dataset` wrote, in its plain form")
    parser.add_argument("--out", type=Path, help="file for the policy's weights")
    parser.add_argument("--epochs", type=int, default=200, help="passes over the steps (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="decides weights and order (default 0)")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    try:
        data = PlainDataset(args.dataset)
        training, held_out = split(data)
    except RobotVisionError as error:
        print(f"train_from_dataset: {error}", file=sys.stderr)
        return 1
    policy = train(training, args.epochs, args.seed)
    print(f"{len(training.seen)} steps learned from, {len(held_out.seen)} held out; root mean square error")
    names = data.description["features"][ACTION]["names"]
    for name, mine, mean in zip(names, *errors(policy, held_out), strict=True):
        print(f"{name}: {mine:.4g}, of the mean action {mean:.4g}")
    if args.out:
        torch.save(policy.state_dict(), args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
