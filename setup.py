"""Package build. Metadata and requirements are in setup.cfg; here is what must be computed: data files and programs."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

NAME = "robot_vision"
ROOT = Path(__file__).resolve().parent
SHARED_FOLDERS = {"config": "*", "launch": "*.launch.py", "models": "*", "samples": "*"}
NODES = ("perception_node", "detector_node", "tracker_node", "encoder_node", "generator_node", "replay_node")


def data_files() -> list[tuple[str, list[str]]]:
    """Files that go to share/: the ament marker, package.xml, launch files, configuration, models, samples.

    Returns:
        Pairs of target folder (relative to the prefix) and source files (relative to this folder).
    """
    found: dict[str, list[str]] = {
        "share/ament_index/resource_index/packages": [f"resource/{NAME}"],
        f"share/{NAME}": ["package.xml"],
    }
    for folder, pattern in SHARED_FOLDERS.items():
        for path in sorted((ROOT / folder).rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(ROOT)
                found.setdefault(f"share/{NAME}/{relative.parent.as_posix()}", []).append(relative.as_posix())
    return list(found.items())


setup(
    data_files=data_files(),
    entry_points={
        "console_scripts": [
            "robot_vision = robot_vision.cli.main:main",
            *(f"{node} = robot_vision.ros.{node}:main" for node in NODES),
        ],
    },
)
