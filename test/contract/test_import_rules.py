"""The import directions of the package, read from the source: who may import whom, and what never."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "robot_vision"
ROS = frozenset({"rclpy", "ament_index_python", "launch", "launch_ros", "cv_bridge", "message_filters", "tf2_ros"})
ROS_ENDINGS = ("_msgs", "_srvs", "_interfaces")
ANYWHERE = frozenset(sys.stdlib_module_names) | {"numpy", "typing_extensions"}

FOUNDATION = frozenset({"", "types", "errors"})
CORE = FOUNDATION | {"geometry", "params", "shipped"}
STAGES = frozenset({"detection", "tracking", "latent", "generation"})
PURE = CORE | STAGES | {"runtime", "preprocess", "image_codec", "overlay"}
DATA = frozenset({"data", "evaluation"})


@dataclass(frozen=True)
class Rule:
    """What one part of the package may import beside itself, the standard library and numpy.

    Attributes:
        own: Parts of this package.
        others: Other packages; None for any but those in `never`.
        never: Packages that are banned even so; "ROS" stands for rclpy, its relatives and messages.
        lazy: Parts of this package that may be imported inside functions only.
    """

    own: frozenset[str]
    others: frozenset[str] | None = frozenset()
    never: frozenset[str] = frozenset({"ROS", "torch"})
    lazy: frozenset[str] = frozenset()


STAGE = Rule(CORE | {"runtime", "preprocess"}, frozenset({"cv2", "scipy"}))
IMAGES = Rule(CORE, frozenset({"cv2"}))
RULES: dict[str, Rule] = {
    "": Rule(frozenset()),
    **dict.fromkeys(["types", "errors", "shipped"], Rule(FOUNDATION)),
    **dict.fromkeys(["geometry", "params"], Rule(FOUNDATION)),
    "runtime": Rule(CORE, frozenset({"onnxruntime", "yaml"})),
    **dict.fromkeys(["image_codec", "overlay"], IMAGES),
    "preprocess": Rule(CORE | {"runtime"}, frozenset({"cv2"})),
    **dict.fromkeys(sorted(STAGES), STAGE),
    **dict.fromkeys(sorted(DATA), Rule(PURE | DATA, None)),
    "train": Rule(PURE | DATA, None, frozenset({"ROS"}), lazy=frozenset({"sim"})),
    "sim": Rule(PURE | DATA, None),
    # The heavy libraries of generation, which nothing loads unless a model asks for them.
    "backends": Rule(
        CORE | {"generation", "runtime"}, frozenset({"PIL", "diffusers", "torch", "transformers"}), frozenset({"ROS"})
    ),
    "ros": Rule(PURE | {"data"}, None, frozenset({"torch"}), lazy=frozenset({"backends"})),
    # Works without ROS, and without the simulator; the learning library is the user's choice.
    "rl": Rule(
        PURE,
        frozenset({"gymnasium", "rclpy", "robot_vision_msgs", "std_msgs", "std_srvs"}),
        frozenset({"torch"}),
        lazy=frozenset({"ros", "sim"}),
    ),
    # The entry point imports a command's module only when it runs; what is optional is later still.
    "cli": Rule(PURE | DATA, None, lazy=frozenset({"train", "sim", "rl", "ros", "backends"})),
}


@dataclass(frozen=True)
class Import:
    """One imported module and where."""

    target: str
    line: int
    lazy: bool


def imports_of(tree: ast.AST, package: str, lazy: bool = False) -> Iterator[Import]:
    """Every import in a syntax tree; `package` resolves relative ones."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, *([node.module] if node.module else [])]) if node.level else str(node.module)
            # `from robot_vision import types` names a module, too.
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "robot_vision" else [base]
            yield from (Import(name, node.lineno, lazy) for name in names)
        else:
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or is_type_checking(node)
            yield from imports_of(node, package, lazy or inside)


def is_type_checking(node: ast.AST) -> bool:
    """Whether the node is an `if TYPE_CHECKING:` block, which does not run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def part_of(module: str) -> str:
    """Name of the row of a module of this package."""
    words = module.split(".")
    return words[1] if len(words) > 1 and words[1] in RULES else ""


def broken_rule(part: str, found: Import) -> str | None:
    """What is wrong with one import made by a part, None if nothing."""
    rule, root = RULES[part], found.target.split(".")[0]
    if root == "robot_vision":
        target = part_of(found.target)
        allowed = target == part or target in rule.own or (found.lazy and target in rule.lazy)
        hint = " other than inside a function" if target in rule.lazy else ""
        return None if allowed else f"{part or 'robot_vision'} must not import {found.target}{hint}"
    is_ros = root in ROS or root.startswith("rosidl") or root.endswith(ROS_ENDINGS)
    banned = root in rule.never or (is_ros and "ROS" in rule.never)
    unlisted = rule.others is not None and root not in rule.others and root not in ANYWHERE
    return f"{part or 'robot_vision'} must not import {found.target}" if banned or unlisted else None


def test_every_import_follows_the_table() -> None:
    """One failure lists every broken rule."""
    problems = []
    for path in sorted(ROOT.rglob("*.py")):
        words = path.relative_to(ROOT.parent).with_suffix("").parts
        package = ".".join(words[:-1])
        row = "" if words[1] == "__init__" else words[1]
        assert row in RULES, f"{path}: add a row for {row} to the table"
        place = path.relative_to(ROOT.parent)
        problems += [
            f"{place}:{found.line}: {problem}"
            for found in imports_of(ast.parse(path.read_text(encoding="utf-8")), package)
            if (problem := broken_rule(row, found))
        ]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("part", "source", "allowed"),
    [
        ("types", "import numpy as np", True),
        ("types", "import cv2", False),
        ("geometry", "from robot_vision.types import Frame", True),
        ("geometry", "from robot_vision.params import Setting", False),
        ("runtime", "import onnxruntime", True),
        ("runtime", "from robot_vision.preprocess import Preprocessor", False),
        ("runtime", "from robot_vision import preprocess", False),
        ("preprocess", "from robot_vision.runtime.card import InputSpec", True),
        ("detection", "from robot_vision.preprocess import Preprocessor", True),
        ("detection", "from robot_vision.tracking import tracker", False),
        ("detection", "from ..tracking import tracker", False),
        ("detection", "from .heads import HEADS", True),
        ("tracking", "import scipy.optimize", True),
        ("tracking", "import torch", False),
        ("latent", "from sensor_msgs.msg import Image", False),
        ("latent", "def f():\n    import rclpy", False),
        ("data", "import rosbags", True),
        ("data", "import torch", False),
        ("evaluation", "from robot_vision_msgs.msg import Track", False),
        ("train", "import torch", True),
        ("train", "from robot_vision.ros import convert", False),
        ("sim", "import rclpy", False),
        ("backends", "import diffusers", True),
        ("backends", "from robot_vision.latent.decoder import Decoder", False),
        ("generation", "from robot_vision.backends.opening import open_generator", False),
        ("ros", "import rclpy", True),
        ("ros", "from robot_vision.backends.opening import open_generator", False),
        ("ros", "def f():\n    from robot_vision.backends.opening import open_generator", True),
        ("ros", "import torch", False),
        ("ros", "from robot_vision.evaluation import report", False),
        ("ros", "from robot_vision.train import vae", False),
        ("rl", "import gymnasium", True),
        ("rl", "import stable_baselines3", False),
        ("rl", "from robot_vision.sim.world import World", False),
        ("rl", "def f():\n    from robot_vision.sim.world import World", True),
        ("cli", "from robot_vision.ros import spin", False),
        ("cli", "def f():\n    from robot_vision.ros import spin", True),
    ],
)
def test_the_check_itself(part: str, source: str, allowed: bool) -> None:
    """A check that can never fail protects nothing."""
    found = list(imports_of(ast.parse(source), f"robot_vision.{part}"))
    assert found
    assert all(broken_rule(part, entry) is None for entry in found) == allowed
