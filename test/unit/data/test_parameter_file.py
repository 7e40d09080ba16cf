"""Parameter files say offline what they say to a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot_vision.data.parameter_file import read_parameters
from robot_vision.errors import InvalidValueError
from robot_vision.params import TrackerParams, stage_params
from robot_vision.shipped import shared_file


def written(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_nested_and_dotted_names_of_all_entries_for_the_node(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "/**: {ros__parameters: {detector: {slice_columns: 2, slice_rows: 3}, use_sim_time: true}}\n"
        "/perception_node: {ros__parameters: {detector.slice_rows: 4}}\n"
        "other_node: {ros__parameters: {detector.slice_rows: 1}}\n",
    )
    values = read_parameters(path, "perception_node")
    assert values == {"detector.slice_columns": 2, "detector.slice_rows": 4, "use_sim_time": True}
    params = stage_params(values)
    assert (params["detector"].slice_columns, params["detector"].slice_rows) == (2, 4)
    assert params["tracker"] == TrackerParams()


@pytest.mark.parametrize(("text", "value"), [("1e-1", 0.1), ("-2.5E+3", -2500.0), ("3", 3), ("1e", "1e"), ("e5", "e5")])
def test_numbers_are_those_of_ros(tmp_path: Path, text: str, value: object) -> None:
    """YAML 1.1 takes 1e-1 for a text; the parser of ROS does not."""
    path = tmp_path / "params.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    x: {text}\n")
    assert read_parameters(path, "n") == {"x": value}


def test_the_shipped_file_is_read() -> None:
    assert read_parameters(shared_file("config/uav.yaml"), "perception_node")["tracker.camera_motion"] == "flow"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/**: {detector: {slice_rows: 2}}", "expected `ros__parameters:`"),
        ("other: {ros__parameters: {a: 1}}", "holds nothing for perception_node"),
        ("", "holds nothing for perception_node"),
        ("a: [", "not YAML"),
        (
            "/**: {ros__parameters: {detector: {slice_rows: 2}, detector: {slice_columns: 2}}}",
            "detector is there twice",
        ),
    ],
)
def test_what_is_no_parameter_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=f"params.yaml: .*{message}"):
        read_parameters(written(tmp_path, text), "perception_node")
    with pytest.raises(InvalidValueError, match=r"absent.yaml: the parameter file cannot be read"):
        read_parameters(tmp_path / "absent.yaml", "perception_node")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"detector.slice_colums": 2}, "parameter detector.slice_colums: there is no such setting; detector has model"),
        ({"detector.slice_rows": 99}, "parameter detector.slice_rows"),
        ({"tracker.lost_time": "long"}, "parameter tracker.lost_time"),
    ],
)
def test_a_wrong_setting_is_refused_as_the_node_does(values: dict, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        stage_params(values)
