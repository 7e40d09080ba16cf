"""The MuJoCo module, imported once with a renderer that works on this machine."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from robot_vision.errors import MissingDependencyError


def _choose_renderer() -> None:
    """Take the CPU renderer where nothing is set and there is no display; it must be known before the import."""
    if sys.platform == "linux" and "MUJOCO_GL" not in os.environ and "DISPLAY" not in os.environ:
        os.environ["MUJOCO_GL"] = "osmesa"
    os.environ.setdefault("LP_NUM_THREADS", "1")


def load() -> Any:
    """The `mujoco` module.

    Raises:
        MissingDependencyError: If it, or the system library of the chosen renderer, is not installed.
    """
    _choose_renderer()
    try:
        return importlib.import_module("mujoco")
    except Exception as error:  # PyOpenGL reports a missing library with several unrelated types
        if isinstance(error, ModuleNotFoundError) and error.name == "mujoco":
            raise MissingDependencyError("the simulated world needs MuJoCo; run: pip install mujoco") from error
        raise MissingDependencyError(
            f"MuJoCo cannot render with MUJOCO_GL={os.environ.get('MUJOCO_GL', '(unset)')}: {error}; "
            "for rendering on the CPU run: sudo apt install libosmesa6"
        ) from error


mujoco = load()
