"""A machine without MuJoCo or without its renderer's library gets one sentence that says what to install."""

from __future__ import annotations

import importlib

import pytest

from robot_vision.errors import MissingDependencyError
from robot_vision.sim import engine


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("No module named 'mujoco'", name="mujoco"), "pip install mujoco"),
        (AttributeError("'NoneType' object has no attribute 'glGetError'"), "apt install libosmesa6"),
    ],
)
def test_the_message_names_the_command_that_mends_it(
    error: Exception, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingDependencyError, match=advice):
        engine.load()
