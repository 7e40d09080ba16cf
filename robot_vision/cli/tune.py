"""`robot_vision tune`: finds the tracker's parameters on labelled sequences, reproducibly, with one command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from robot_vision.cli.tracking_data import add_sequences, chosen_sequences, tracker_numbers, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robot_vision.evaluation.tuning import Range, Trial

HELP = "search for the tracker's parameters on labelled sequences"
TRIALS, RESULT = "trials.csv", "tracker.yaml"
_TRACKER = (
    "random search, then refinement around the best, for the largest mean HOTA of all sequences at their full rate and "
    "at a third of it"
)
_MOST_OBJECTS = 50
"""Objects of the largest scene that is taken without being asked for: larger ones take minutes a trial."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `tune tracker`.

    Args:
        parser: Parser of `robot_vision tune`.
    """
    products = parser.add_subparsers(dest="product", required=True, metavar="PRODUCT")
    tracker = products.add_parser("tracker", help=_TRACKER, description=_TRACKER)
    add_sequences(tracker, _MOST_OBJECTS)
    names = tuple(tracker_numbers())
    tracker.add_argument(
        "--parameters", nargs="+", choices=names, default=names, metavar="NAME",
        help=f"parameters to search, the others keep their defaults (default: {' '.join(names)})",
    )  # fmt: skip
    tracker.add_argument("--trials", type=whole_number, default=100, help="random trials (default 100)")
    tracker.add_argument("--rounds", type=whole_number, default=5, help="rounds of refinement (default 5)")
    tracker.add_argument("--jobs", type=whole_number, default=1, help="processes (default 1)")
    tracker.add_argument(
        "--out", type=Path, required=True,
        help=f"folder for {TRIALS} and {RESULT}; the same command with the same folder goes on where it stopped",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Search.

    Args:
        args: Parsed command line.

    Returns:
        Exit status.

    Raises:
        RobotVisionError: If a sequence is wrong, or the folder is of another search.
    """
    from robot_vision.evaluation.tracker_report import made_folder  # noqa: PLC0415
    from robot_vision.evaluation.trial_log import TrialLog  # noqa: PLC0415
    from robot_vision.evaluation.tuning import at_all_rates, measuring, search, search_range  # noqa: PLC0415

    numbers = tracker_numbers()
    ranges = [search_range(numbers[name]) for name in dict.fromkeys(args.parameters)]
    names = [entry.name for entry in ranges]
    sequences = at_all_rates(chosen_sequences(args))
    log = TrialLog(made_folder(args.out) / TRIALS, names, [f"{entry.name} HOTA" for entry in sequences])
    print(f"{len(log)} trials are in {args.out / TRIALS}")
    tried: list[Trial] = []
    most = 1 + args.trials + args.rounds * (2 * len(ranges) + 1)
    with measuring(names, sequences, args.jobs) as measure, tqdm(total=most, unit="trial") as bar:
        for trial in search(ranges, log.remembering(measure), args.trials, args.rounds, args.seed):
            tried.append(trial)
            bar.set_postfix_str(f"best {100 * max(entry.mean for entry in tried):.2f}", refresh=False)
            bar.update()
    best = max(tried, key=lambda trial: trial.mean)
    print(_gain_table([entry.name for entry in sequences], tried[0], best))
    _write_best(ranges, best, args.out / RESULT)
    return 0


def _gain_table(names: Sequence[str], default: Trial, best: Trial) -> str:
    from robot_vision.evaluation.report import table  # noqa: PLC0415

    rows = [*zip(names, default.scores, best.scores, strict=True), ("mean", default.mean, best.mean)]
    cells = [(name, f"{100 * a:.2f}", f"{100 * b:.2f}", f"{100 * (b - a):+.2f}") for name, a, b in rows]
    return f"\nHOTA in percent\n\n{table(('sequence', 'defaults', 'best', 'gain'), cells)}\n"


def _write_best(ranges: Sequence[Range], best: Trial, path: Path) -> None:
    """Write and print the departures from the defaults as a file of ROS parameters."""
    from robot_vision.evaluation.tuning import ros_parameters  # noqa: PLC0415

    text = ros_parameters(ranges, best.values)
    path.unlink(missing_ok=True)
    if not text:
        print("nothing was better than the defaults")
        return
    path.write_text(text, encoding="utf-8")
    print(f"{text}\nwrote {path}; keep what else your config/*.yaml holds")
