"""What a machine must have before the set-up begins: for each missing thing one line that says how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from source import Setting

NEEDED_BYTES = 2_500_000_000


class SetupError(Exception):
    """The set-up cannot go on; the message says why, and what to do."""


def check_machine(setting: Setting, *, fresh: bool, build: bool) -> None:
    """Look for all that the work ahead needs.

    Args:
        setting: What the environment is made from.
        fresh: Whether the environment is made from nothing.
        build: Whether interface packages are built.

    Raises:
        SetupError: Something is missing.
    """
    if not setting.sourced_prefixes:
        _check_platform()
    if fresh:
        _check_venv()
        _check_space(setting.venv.parent)
    if build and setting.interfaces_to_build:
        _check_compiler()
        _check_headers()


def _check_platform() -> None:
    found = f"{platform.system()} {platform.machine()}"
    if found != "Linux x86_64":
        raise SetupError(f"ROS 2 from pip is for Linux x86_64, and this is {found}: install ROS 2 and source it")


def _check_venv() -> None:
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        raise SetupError(f"{_python()} cannot make virtual environments: sudo apt install {_python()}-venv")


def _check_compiler() -> None:
    for language, variable, names in (("C", "CC", ("cc", "gcc", "clang")), ("C++", "CXX", ("c++", "g++", "clang++"))):
        wanted = os.environ.get(variable)
        if not any(shutil.which(name) for name in ([wanted.split()[0]] if wanted else names)):
            raise SetupError(f"no {language} compiler ({wanted or ', '.join(names)}): sudo apt install build-essential")


def _check_headers() -> None:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        raise SetupError(f"the headers of {_python()} are missing ({header}): sudo apt install {_python()}-dev")


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise SetupError(
            f"{free / 1e9:.1f} GB free in {folder}, and the environment needs {NEEDED_BYTES / 1e9:.1f} GB: make room "
            "(pip cache purge; sudo apt clean)"
        )


def _python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
