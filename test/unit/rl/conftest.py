"""What tests of the learning side need, and the reason where it is missing."""

from __future__ import annotations

import importlib

import pytest

from robot_vision.errors import MissingDependencyError


@pytest.fixture(scope="session")
def simulator() -> None:
    """Skips where MuJoCo or its renderer is missing."""
    try:
        importlib.import_module("robot_vision.sim.engine")
    except MissingDependencyError as error:
        pytest.skip(str(error))
