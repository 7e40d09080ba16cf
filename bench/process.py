"""What `robot_vision process` costs as recordings grow, and what a second process brings.

    python bench/process.py [--minutes M ...] [--frames N] [--rounds R] [--folder F]

The recordings are bags of the shipped sample's JPEG images over and over, ten a second, their stamps going on.

- length: bags of several lengths, one process each: time and CPU time a frame, without the start-up, which a very short
  bag tells; over those of the first bag, which is run again after each of the others; and the most memory held;
- workers: eight bags with `--jobs 1`, with `--jobs 2`, and by two commands with half of the bags each, which share
  nothing and so show what the machine allows. The times are over those of `--jobs 1` in the same round. The last column
  is the CPU time that other programs took meanwhile: if that is much, all three say little.

`--minutes 1 10 60` adds an hour of recording, which takes a quarter of an hour or more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.sources import open_source
from robot_vision.data.typestore import ros_typestore
from robot_vision.shipped import shared_file
from robot_vision.types import Float64Array

RATE_HZ = 10
START_NS = 1_700_000_000_000_000_000
FEW = 10
BAGS = 8


class Spent(NamedTuple):
    """What commands that ran at the same time took.

    Attributes:
        wall_s: Time until the last one ended.
        cpu_s: CPU time of all their processes.
        peak_mb: Most memory that one of these held.
        others_s: CPU time of all other programs meanwhile.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    others_s: float


def main() -> int:
    """Measure and print.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, nargs="*", default=[1, 10], help="lengths of the single bags")
    parser.add_argument("--frames", type=int, default=600, help="length of each of the eight bags")
    parser.add_argument("--rounds", type=int, default=2, help="of the eight bags; 0 leaves them out")
    parser.add_argument("--folder", type=Path, help="where bags are written for the time being (default: /tmp)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.minutes:
            measure_lengths([round(60 * RATE_HZ * minutes) for minutes in arguments.minutes], Path(folder))
        if arguments.rounds:
            measure_workers(arguments.frames, arguments.rounds, Path(folder))
    return 0


def measure_lengths(counts: Sequence[int], folder: Path) -> None:
    """Print what bags of these numbers of frames cost.

    Args:
        counts: Frames of each bag.
        folder: Where to write.
    """
    columns = ("wall ms/frame", "ratio", "CPU ms/frame", "ratio", "peak MB")
    print(f"{'frames':24s}{''.join(f'{name:>15s}' for name in columns)}")
    start = spent_on_length(FEW, folder)
    print(f"{'start-up':24s}{start.wall_s:13.1f} s{start.cpu_s:28.1f} s{start.peak_mb:15.0f}", flush=True)

    def measured(count: int) -> tuple[Float64Array, float]:
        spent = spent_on_length(count, folder)
        return 1e3 * np.subtract(spent[:2], start[:2]) / (count - FEW), spent.peak_mb

    def tell(count: int, cost_ms: Float64Array, ratios: Float64Array, peak_mb: float) -> None:
        cells = (f"{cost:15.2f}{ratio:15.3f}" for cost, ratio in zip(cost_ms, ratios, strict=True))
        print(f"{count:<24d}{''.join(cells)}{peak_mb:15.0f}", flush=True)

    short_ms, peak_mb = measured(counts[0])
    tell(counts[0], short_ms, short_ms / short_ms, peak_mb)
    for count in counts[1:]:
        cost_ms, peak_mb = measured(count)
        before_ms, (short_ms, _) = short_ms, measured(counts[0])
        tell(count, cost_ms, 2 * cost_ms / (before_ms + short_ms), peak_mb)


def spent_on_length(count: int, folder: Path) -> Spent:
    """What a bag of some number of frames takes, which is there for the time being only."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        bag = Path(own) / "bag"
        write_bag(bag, count)
        return spent_on([[bag]], Path(own) / "out")


def measure_workers(count: int, rounds: int, folder: Path) -> None:
    """Print what one and two workers take for eight bags.

    Args:
        count: Frames of each bag.
        rounds: How often.
        folder: Where to write.
    """
    bags = [folder / f"bag{number}" for number in range(BAGS)]
    for bag in bags:
        write_bag(bag, count)
    print(f"\n{f'{BAGS} bags of {count} frames':24s}{'wall s':>9s}{'ratio':>8s}{'CPU s':>9s}{'others, CPU s':>16s}")
    for number in range(rounds):
        one_s = 0.0
        for name, groups, jobs in (
            ("--jobs 1", [bags], 1),
            ("--jobs 2", [bags], 2),
            ("two commands", [bags[::2], bags[1::2]], 1),
        ):
            with tempfile.TemporaryDirectory(dir=folder) as own:
                spent = spent_on(groups, Path(own), jobs)
            one_s = one_s or spent.wall_s
            cells = f"{spent.wall_s:9.1f}{spent.wall_s / one_s:8.3f}{spent.cpu_s:9.1f}{spent.others_s:16.1f}"
            print(f"{f'round {number + 1}, {name}':24s}{cells}", flush=True)


def spent_on(groups: Sequence[Sequence[Path]], out: Path, jobs: int = 1) -> Spent:
    """What `robot_vision process` takes for groups of bags, one command for each, all at the same time.

    Args:
        groups: The bags of each command.
        out: Folder of the results.
        jobs: Workers of each command.

    Returns:
        What was spent.

    Raises:
        CalledProcessError: If a command failed.
    """
    busy_s, begin_s = busy_cpu_s(), time.monotonic()
    running = []
    for bags in groups:
        words = ["process", *map(str, bags), "--out", str(out), "--jobs", str(jobs)]
        command = [sys.executable, "-m", "robot_vision.cli.main", *words]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    cpu_s, peak_kb = 0.0, 0
    for process in running:
        # Of the process and of its children, for which it has waited; of memory, the largest of these.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu_s += usage.ru_utime + usage.ru_stime
        peak_kb = max(peak_kb, usage.ru_maxrss)
    wall_s = time.monotonic() - begin_s
    for process in running:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return Spent(wall_s, cpu_s, peak_kb * 1024e-6, busy_cpu_s() - busy_s - cpu_s)


def busy_cpu_s() -> float:
    """CPU time of all programs since the machine started (`proc_stat(5)`)."""
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, Path("/proc/stat").read_text(encoding="ascii").split()[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def write_bag(path: Path, count: int) -> None:
    """The sample's images over and over.

    Args:
        path: Bag to write.
        count: Number of images.
    """
    sample = shared_file("samples/simworld_uav")
    assert sample is not None
    source = open_source(sample)
    images = [ros_typestore().deserialize_cdr(raw.data, raw.msgtype) for raw in source.messages()]
    with BagWriter(path) as bag:
        bag.add_topic(source.topic, source.msgtype)
        for number, image in enumerate(islice(cycle(images), count)):
            stamp_ns = START_NS + number * 10**9 // RATE_HZ
            sec, nanosec = divmod(stamp_ns, 10**9)
            stamp = replace(image.header.stamp, sec=sec, nanosec=nanosec)
            bag.write(source.topic, stamp_ns, replace(image, header=replace(image.header, stamp=stamp)))


if __name__ == "__main__":
    sys.exit(main())
