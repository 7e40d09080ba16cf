"""What the environment is made from: which Python, which ROS 2, which ONNX Runtime; and the keys of the steps."""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from checks import SetupError

DEFAULT_DISTRO = "kilted"
WHEEL_DISTROS = ("kilted", "jazzy")
INTERFACE_PACKAGES = ("vision_msgs", "robot_vision_msgs")

# The generators' wheels do not declare all that they need to run, hence the long list.
ROS_WHEELS = (
    "ros-{distro}-rclpy[fastrtps]",
    "ros-{distro}-common-interfaces",
    "ros-{distro}-rosidl-default-generators",
    "ros-{distro}-rosidl-core-generators",
    "ros-{distro}-ament-cmake",
    "ros-{distro}-ament-package",
    "ros-{distro}-ament-cmake-include-directories",
)
EXTRA_WHEELS = {
    "kilted": ("ros-kilted-ament-cmake-ros-core",),
    "jazzy": (
        "ros-jazzy-ament-cmake-gmock",
        "ros-jazzy-ament-cmake-gtest",
        "ros-jazzy-ament-cmake-pytest",
        "ros-jazzy-ament-cmake-ros",
        "ros-jazzy-python-cmake-module",
    ),
}
BUILD_TOOLS = ("cmake>=3.22", "ninja", "colcon-common-extensions")

# colcon-core needs setuptools < 80; from 70.1 on an editable install needs no separate `wheel`.
SETUPTOOLS = "setuptools>=70.1,<80"


@dataclass(frozen=True)
class Setting:
    """Everything that decides what the environment looks like.

    Attributes:
        root: Folder of the project.
        venv: Folder of the environment, absolute.
        distro: Name of the ROS 2 distribution.
        sourced_prefixes: Prefixes of the sourced ROS 2; empty when it comes from pip.
        gpu: Whether the machine has an NVIDIA GPU.
    """

    root: Path
    venv: Path
    distro: str
    sourced_prefixes: tuple[str, ...]
    gpu: bool

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / "bin" / "python"

    @property
    def base_python(self) -> str:
        """The interpreter that the environment is made with; never the environment's own."""
        return os.path.realpath(getattr(sys, "_base_executable", sys.executable))

    @property
    def state(self) -> Path:
        """Folder of the stamps and logs."""
        return self.venv / "setup"

    @property
    def site_packages(self) -> Path:
        """Folder of the environment's Python packages."""
        return self.venv / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"

    @property
    def description(self) -> str:
        """One line for the user."""
        ros = f"sourced ROS 2 {self.distro}" if self.sourced_prefixes else f"ROS 2 {self.distro} from pip"
        return f"{ros}, Python {sysconfig.get_python_version()}, ONNX Runtime for {'GPU' if self.gpu else 'CPU'}"

    @property
    def ros_wheels(self) -> tuple[str, ...]:
        """Requirements of the base step."""
        if self.sourced_prefixes:
            return ()
        return (*(name.format(distro=self.distro) for name in ROS_WHEELS), *EXTRA_WHEELS[self.distro])

    @property
    def interfaces_to_build(self) -> tuple[str, ...]:
        """Our interface packages that the sourced ROS 2 does not have."""
        indexes = [Path(prefix, "share/ament_index/resource_index/packages") for prefix in self.sourced_prefixes]
        return tuple(name for name in INTERFACE_PACKAGES if not any((index / name).exists() for index in indexes))

    def base_key(self) -> str:
        """Key of the virtual environment with ROS 2 in it."""
        recipe = _contents(self.root, [self.root / "scripts" / "source.py", self.root / "scripts" / "steps.py"])
        return _hash(str(self.venv), self.base_python, sys.version, self.description, *self.sourced_prefixes, *recipe)

    def interfaces_key(self) -> str:
        """Key of the interface packages built into it."""
        sources = sorted(path for path in (self.root / "interfaces").rglob("*") if path.is_file())
        return _hash(self.base_key(), *self.interfaces_to_build, *_contents(self.root, sources))

    def packages_key(self, extra: str = "") -> str:
        """Key of the Python packages installed into it."""
        return _hash(self.base_key(), extra, *_contents(self.root, [self.root / "setup.py", self.root / "setup.cfg"]))

    @cached_property
    def _configuration(self) -> configparser.ConfigParser:
        configuration = configparser.ConfigParser()
        configuration.read(self.root / "setup.cfg", encoding="utf-8")
        return configuration

    def requirements(self, *extras: str) -> list[str]:
        """Requirements of the package, as setup.cfg lists them.

        Args:
            extras: Names of extras; none gives those of the package itself.

        Returns:
            Requirement lines.
        """
        if not extras:
            return self._configuration["options"]["install_requires"].split("\n")[1:]
        section = self._configuration["options.extras_require"]
        return [line for extra in extras for line in section[extra].split("\n")[1:]]


def find_setting(root: Path, venv: Path) -> Setting:
    """Look at the machine and the shell's environment.

    Args:
        root: Folder of the project.
        venv: Folder of the environment, absolute.

    Returns:
        The setting.

    Raises:
        SetupError: ROS_DISTRO names a distribution that is neither sourced nor to be had from pip.
    """
    distro = os.environ.get("ROS_DISTRO", DEFAULT_DISTRO)
    prefixes = tuple(part for part in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if part and Path(part) != venv)
    if not (prefixes and find_spec("rclpy")):
        prefixes = ()
    if not prefixes and distro not in WHEEL_DISTROS:
        raise SetupError(
            f"ROS_DISTRO={distro}: pip has {' and '.join(WHEEL_DISTROS)}; "
            f"choose one of them, or source another first: . /opt/ros/{distro}/setup.bash"
        )
    return Setting(root, venv, distro, prefixes, gpu=Path("/proc/driver/nvidia/version").exists())


def require_sourced_rclpy(setting: Setting) -> None:
    """See that the sourced ROS 2 works with this Python.

    Args:
        setting: The setting; nothing is done when ROS 2 comes from pip.

    Raises:
        SetupError: rclpy does not load.
    """
    if not setting.sourced_prefixes:
        return
    probe = subprocess.run([setting.base_python, "-c", "import rclpy"], capture_output=True, text=True, check=False)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupError(
            f"the sourced ROS 2 {setting.distro} does not load in {setting.base_python} ({reason}): "
            "take its own Python (make PYTHON=/usr/bin/python3 ...) or a shell without ROS 2 sourced"
        )


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _contents(root: Path, files: Iterable[Path]) -> list[str]:
    return [text for path in files for text in (str(path.relative_to(root)), path.read_text(encoding="utf-8"))]
