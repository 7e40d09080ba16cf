"""`robot_vision tune tracker` and its search: it finds what there is, the same way each time, also in two parts."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
import yaml

from robot_vision.cli.main import main
from robot_vision.cli.tracking_data import tracker_numbers
from robot_vision.errors import EvaluationError, InvalidValueError
from robot_vision.evaluation import synthetic_tracks
from robot_vision.evaluation.sequences import evaluate_sequence
from robot_vision.evaluation.synthetic_tracks import Scene, synthetic_sequence
from robot_vision.evaluation.trial_log import TrialLog
from robot_vision.evaluation.tuning import Range, at_all_rates, ros_parameters, search, search_range
from robot_vision.params import Setting, TrackerParams, updated

RANGES = [Range("a", 0.5, 0.0, 1.0, False), Range("b", 1.0, 0.1, 10.0, True)]
NAMES = ("a", "b")


def hill(batch):
    """Highest at a = 0.3, b = 4, on a slope that couples them; two sequences of other heights."""
    for a, b in batch:
        height = 1 - (a - 0.3) ** 2 - 0.1 * (np.log10(b / 4) + 0.5 * (a - 0.3)) ** 2
        yield float(height), float(height) - 0.5


def test_the_search_finds_the_top_of_a_hill() -> None:
    """From the defaults, through random trials, to the top as near as the last step."""
    trials = list(search(RANGES, hill, trials=10, rounds=15, seed=0))
    assert trials[0].values == (0.5, 1.0)
    best = max(trials, key=lambda trial: trial.mean)
    assert best.values[0] == pytest.approx(0.3, abs=0.02)
    assert best.values[1] == pytest.approx(4.0, rel=0.15)
    assert best.mean == pytest.approx(0.75, abs=1e-3)
    assert all(0 <= a <= 1 and 0.1 <= b <= 10 for a, b in (trial.values for trial in trials))


def test_the_search_is_reproducible() -> None:
    one, other = (list(search(RANGES, hill, 8, 3, seed=1)) for _ in range(2))
    assert one == other
    assert list(search(RANGES, hill, 8, 3, seed=2)) != one
    assert len(one) == 1 + 8 + 3 * (2 * 2 + 1)


def test_half_of_the_random_trials_are_near_the_defaults() -> None:
    trials = [trial.values[0] for trial in search(RANGES, hill, 400, 0, seed=0)][1:]
    far, near = np.array(trials[::2]), np.array(trials[1::2])
    assert far.std() == pytest.approx(1 / np.sqrt(12), rel=0.1)
    assert (near.mean(), near.std()) == pytest.approx((0.5, 0.1), rel=0.15)


@pytest.mark.parametrize("entry", RANGES)
def test_a_range_maps_shares_to_values_and_back(entry) -> None:
    """The ends are the limits, beyond them nothing goes, and values have three digits."""
    assert (entry.value(0), entry.value(1), entry.value(2), entry.value(-1)) == (
        entry.low, entry.high, entry.high, entry.low
    )  # fmt: skip
    for share in (0.1, 0.35, 0.9):
        assert entry.share(entry.value(share)) == pytest.approx(share, abs=2e-3)
        assert float(f"{entry.value(share):.3g}") == entry.value(share)


def test_every_number_of_the_tracker_has_a_range() -> None:
    """Within its limits and around its default; durations by factors."""
    ranges = [search_range(setting) for setting in tracker_numbers().values()]
    assert len(ranges) >= 9
    for entry in ranges:
        assert entry.low <= entry.default <= entry.high
        for share in (0.0, 0.5, 1.0):
            updated(TrackerParams(), {entry.name: entry.value(share)})
    lost = next(entry for entry in ranges if entry.name == "lost_time")
    assert (lost.low, lost.high, lost.logarithmic) == pytest.approx((0.15, 15.0, True))
    for setting in (Setting("model", str, "x", ""), Setting("free", float, 1.0, "")):
        with pytest.raises(InvalidValueError, match=f"{setting.name}: only a number with limits"):
            search_range(setting)


def test_an_interrupted_search_goes_on_from_its_file(tmp_path) -> None:
    """Nothing is measured twice, the trials are the same, and a half-written line is done again."""
    path = tmp_path / "trials.csv"
    whole = list(search(RANGES, TrialLog(tmp_path / "whole.csv", NAMES, ("s", "t")).remembering(hill), 8, 3, 1))
    first = search(RANGES, TrialLog(path, NAMES, ("s", "t")).remembering(hill), 8, 3, 1)
    assert list(itertools.islice(first, 6)) == whole[:6]
    with path.open("a") as file:
        file.write("0.25,3.")
    measured = []

    def counted(batch):
        for values in batch:
            measured.append(values)
            yield from hill([values])

    log = TrialLog(path, NAMES, ("s", "t"))
    assert len(log) == 6
    assert list(search(RANGES, log.remembering(counted), 8, 3, 1)) == whole
    assert not set(measured) & {trial.values for trial in whole[:6]}
    assert len(measured) == len(set(measured)) == len({trial.values for trial in whole}) - 6
    assert path.read_text() == (tmp_path / "whole.csv").read_text()


def test_the_file_of_another_search_is_left_alone(tmp_path) -> None:
    path = tmp_path / "trials.csv"
    TrialLog(path, NAMES, ("s", "t"))
    before = path.read_text()
    for names, sequences in ((NAMES, ("s",)), (("a", "c"), ("s", "t"))):
        with pytest.raises(EvaluationError, match="trials of another search"):
            TrialLog(path, names, sequences)
    assert path.read_text() == before
    path.write_text(before + "0.5,1.0,0.7,zero,0.5\n")
    with pytest.raises(EvaluationError, match=r"trials\.csv:2: expected 5 numbers"):
        TrialLog(path, NAMES, ("s", "t"))
    with pytest.raises(EvaluationError, match="the trials cannot be kept"):
        TrialLog(tmp_path / "no" / "folder.csv", NAMES, ("s", "t"))


def test_the_result_is_a_file_of_ros_parameters() -> None:
    """Only what differs from the defaults, under the names that the nodes declare."""
    ranges = [search_range(tracker_numbers()[name]) for name in ("match_threshold", "lost_time")]
    default = TrackerParams()
    text = ros_parameters(ranges, (0.25, default.lost_time))
    assert yaml.safe_load(text) == {"/**": {"ros__parameters": {"tracker.match_threshold": 0.25}}}
    assert ros_parameters(ranges, (default.match_threshold, default.lost_time)) == ""


@pytest.fixture
def scenes(monkeypatch) -> None:
    """A scene for which the default of one parameter is not the best, and one that is too large to take unasked."""
    small = Scene(objects=6, seconds=1.5, score=0.5, score_spread=0.05)
    large = Scene(objects=51, seconds=0.5)
    monkeypatch.setattr(synthetic_tracks, "SCENES", {"small": small, "large": large})


def tune(*words) -> int:
    return main(["tune", "tracker", *map(str, words)])


def test_the_command_finds_better_parameters(scenes, tmp_path, capsys) -> None:
    """Detections of score 0.5 start no track by default; what is found is written, and its gain is real."""
    words = ["--parameters", "new_track_threshold", "--trials", 4, "--rounds", 2, "--out", tmp_path / "out"]
    assert tune(*words) == 0
    said = capsys.readouterr().out
    found = yaml.safe_load((tmp_path / "out" / "tracker.yaml").read_text())["/**"]["ros__parameters"]
    changed = updated(TrackerParams(), {name.removeprefix("tracker."): value for name, value in found.items()})
    assert changed.new_track_threshold < TrackerParams().new_track_threshold
    sequences = at_all_rates([synthetic_sequence("small")])
    hotas = [[evaluate_sequence(s, p).metrics.hota for s in sequences] for p in (TrackerParams(), changed)]
    gain = 100 * (np.mean(hotas[1]) - np.mean(hotas[0]))
    assert gain > 5
    assert f"{gain:+.2f}" in said and "small 0/3" in said
    with (tmp_path / "out" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == ["new_track_threshold", "mean HOTA", "small 0 HOTA", "small 0/3 HOTA"]
    assert float(rows[0]["mean HOTA"]) == pytest.approx(np.mean(hotas[0]))
    assert max(float(row["mean HOTA"]) for row in rows) == pytest.approx(np.mean(hotas[1]))


def test_processes_change_nothing_and_a_second_run_measures_nothing(scenes, tmp_path, capsys) -> None:
    """The files of one and two processes are equal, byte by byte, and so are those of a command given twice."""
    words = ["--parameters", "match_threshold", "lost_time", "--trials", 2, "--rounds", 1]
    assert tune(*words, "--out", tmp_path / "one") == 0
    assert tune(*words, "--jobs", 2, "--out", tmp_path / "two") == 0
    first = (tmp_path / "one" / "trials.csv").read_bytes()
    assert (tmp_path / "two" / "trials.csv").read_bytes() == first
    capsys.readouterr()
    assert tune(*words, "--out", tmp_path / "two") == 0
    assert f"{first.count(bytes([10])) - 1} trials are in" in capsys.readouterr().out
    assert (tmp_path / "two" / "trials.csv").read_bytes() == first
    assert tune(*words, "--seed", 1, "--out", tmp_path / "two") == 1
    assert "trials of another search" in capsys.readouterr().err


def test_nothing_better_writes_no_file(scenes, tmp_path, capsys, monkeypatch) -> None:
    """An older result does not stay behind either."""
    (tmp_path / "tracker.yaml").write_text("old")
    words = ["--scenes", "large", "--parameters", "class_penalty", "--trials", 1, "--rounds", 1, "--out", tmp_path]
    assert tune(*words) == 0
    assert "nothing was better than the defaults" in capsys.readouterr().out
    assert not (tmp_path / "tracker.yaml").exists()


def test_wrong_usage(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        tune("--parameters", "speed", "--out", tmp_path)
    said = capsys.readouterr().err
    assert "invalid choice: 'speed'" in said and "match_threshold" in said
