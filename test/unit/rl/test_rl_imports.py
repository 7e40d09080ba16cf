"""The learning side loads where neither ROS nor a simulator nor torch is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import robot_vision.rl

BLOCK = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        root = name.split(".")[0]
        if root in {"rclpy", "mujoco", "torch", "stable_baselines3"} or root.endswith(("_msgs", "_srvs")):
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Missing())
importlib.import_module("robot_vision.rl." + sys.argv[1])
"""
MODULES = sorted(path.stem for path in Path(robot_vision.rl.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_needs_gymnasium_at_most(module: str) -> None:
    pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'robot_vision[rl]'")
    done = subprocess.run(
        [sys.executable, "-c", BLOCK, module], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
