"""Shared worlds; every test of this folder is skipped where MuJoCo or its renderer is missing."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from robot_vision.errors import MissingDependencyError

try:
    importlib.import_module("robot_vision.sim.engine")
    MISSING = ""
except MissingDependencyError as error:
    MISSING = str(error)


class _Skipped(pytest.Module):
    def _getobj(self) -> Any:
        pytest.skip(MISSING, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip test modules with the reason instead of failing at their imports."""
    return _Skipped.from_parent(parent, path=module_path) if MISSING else None


@pytest.fixture(scope="session")
def frames() -> list[Any]:
    """Five frames of one scene with a hand-held camera, half a second apart."""
    from robot_vision.sim.scene import SceneConfig  # noqa: PLC0415
    from robot_vision.sim.world import World, WorldConfig  # noqa: PLC0415

    scene = SceneConfig(objects=(10, 10), shadow_size=256, samples=0)
    with World(WorldConfig(77, (320, 240), "handheld", 2.0, scene=scene)) as world:
        return list(world.frames(5))
