"""Launch and parameter files name programs, nodes and parameters that exist; read as text, `launch` is not needed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from robot_vision.data.replay_params import ReplayParams
from robot_vision.params import STAGES, check_names, settings, stage_params

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*sorted((ROOT / "launch").glob("*.launch.py")), ROOT / "robot_vision" / "ros" / "launch_parts.py"]
PARAMETER_FILES = sorted((ROOT / "config").glob("*.yaml"))
OF_EVERY_NODE = {"use_sim_time", "autostart"}


def programs() -> set[str]:
    """Names of the executables in setup.py."""
    nodes = re.search(r"NODES = \((.*?)\)", (ROOT / "setup.py").read_text(encoding="utf-8"), re.DOTALL)
    assert nodes
    return {"robot_vision", *re.findall(r'"(\w+)"', nodes[1])}


def literals(path: Path) -> Iterator[str]:
    """All text constants and the constant parts of f-strings that may be names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


def executables(path: Path) -> Iterator[str]:
    """What a file starts: `Node(executable=...)`, or the second argument of `vision_node`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    stages = [
        entry.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "stages"
        for entry in ast.walk(node.value)
        if isinstance(entry, ast.Constant)
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", "")
        given = [keyword.value for keyword in node.keywords if keyword.arg == "executable"]
        given += node.args[1:2] if name == "vision_node" else []
        for value in given:
            if isinstance(value, ast.Constant):
                yield value.value
            elif isinstance(value, ast.JoinedStr):
                assert ast.unparse(value) == "f'{stage}_node'"
                yield from (f"{stage}_node" for stage in stages)


def known_parameters() -> set[str]:
    stages = {f"{stage}.{setting.name}" for stage, kind in STAGES.items() for setting in settings(kind)}
    return stages | OF_EVERY_NODE


def constant_mapping(path: Path, name: str) -> dict[str, str]:
    """A dictionary of texts that a file assigns."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            if isinstance(node.value, ast.DictComp):
                words = ast.literal_eval(node.value.generators[0].iter)
                return {word: word for word in words}
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} assigns no {name}")


def test_launch_files_start_programs_that_are_installed() -> None:
    found = {path.name: set(executables(path)) for path in SOURCES}
    assert found["demo.launch.py"] == {"replay_node"}
    assert found["multi_camera.launch.py"] == {"perception_node"}
    assert found["generation.launch.py"] == {"generator_node"}
    assert found["launch_parts.py"] == {"perception_node", "detector_node", "tracker_node", "encoder_node"}
    assert set().union(*found.values()) <= programs()


def test_launch_arguments_set_parameters_that_exist() -> None:
    parts = ROOT / "robot_vision" / "ros" / "launch_parts.py"
    assert set(constant_mapping(parts, "PIPELINE_PARAMETERS").values()) <= known_parameters()
    generation = constant_mapping(ROOT / "launch" / "generation.launch.py", "GENERATION_PARAMETERS")
    assert set(generation.values()) <= known_parameters()
    replay = {setting.name for setting in settings(ReplayParams)}
    assert set(constant_mapping(parts, "REPLAY_PARAMETERS").values()) <= replay


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_text_that_looks_like_a_parameter_is_one(path: Path) -> None:
    """`<stage>.<setting>` in a launch file is a setting of that stage."""
    check_names(text for text in literals(path) if re.fullmatch(r"[a-z_]+\.[a-z_]+", text))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_launch_files_repeat_no_default(path: Path) -> None:
    """Where a node has a default, the launch argument's is empty, and then the parameter is not set at all."""
    mapped = {argument for name in ("PIPELINE_PARAMETERS", "REPLAY_PARAMETERS")
              for argument in constant_mapping(SOURCES[-1], name)}  # fmt: skip
    declared = [
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument"
        and isinstance(node.args[0], ast.Constant)
    ]  # fmt: skip
    assert not mapped & set(declared)


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.name)
def test_parameter_files_hold_departures_from_defaults_for_nodes_that_exist(path: Path) -> None:
    """Nodes and settings exist, values are within their contracts, and none repeats what is the default anyway."""
    for node, content in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        assert node.strip("/") == "**" or node.strip("/") in programs()
        values = content["ros__parameters"]
        assert set(values) <= known_parameters()
        default, changed = stage_params({}), stage_params(values)
        for name in values:
            stage, _, setting = name.partition(".")
            assert getattr(changed[stage], setting) != getattr(default[stage], setting), f"{name} is the default"
