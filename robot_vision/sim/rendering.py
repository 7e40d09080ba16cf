"""Off-screen rendering of a scene: colour image and segmentation, on a display, a GPU or the CPU alone."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

import numpy as np

from robot_vision.errors import MissingDependencyError
from robot_vision.types import Int64Array, UInt8Array


def choose_backend() -> None:
    """Set MUJOCO_GL to the CPU renderer when nothing is set and there is no display; call before importing mujoco."""
    if "MUJOCO_GL" not in os.environ and sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ["MUJOCO_GL"] = "osmesa"
    os.environ.setdefault("LP_NUM_THREADS", "1")


def import_mujoco() -> ModuleType:
    """The mujoco module, with a renderer chosen.

    Raises:
        MissingDependencyError: If mujoco or the renderer's system library is missing.
    """
    choose_backend()
    try:
        import mujoco  # noqa: PLC0415
        from mujoco.rendering.classic import gl_context  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingDependencyError(f"the simulated world needs MuJoCo ({error}); run: pip install mujoco") from error
    return mujoco
