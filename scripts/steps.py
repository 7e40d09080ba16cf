"""The work of each step of the set-up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from checks import SetupError
from source import BUILD_TOOLS, SETUPTOOLS, Setting, require_sourced_rclpy

# Variables by which another Python or ROS 2 environment would leak into this one.
FOREIGN_VARIABLES = (
    "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_DEFAULTS_FILE", "COLCON_PREFIX_PATH", "LD_LIBRARY_PATH",
    "PYTHONHOME", "PYTHONPATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)  # fmt: skip

NO_NETWORK = "NewConnectionError|ConnectTimeout|NameResolutionError|Network is unreachable|Read timed out"


def install_base(setting: Setting) -> None:
    """Make the virtual environment and install ROS 2 and the build tools into it.

    Args:
        setting: What the environment is made from.

    Raises:
        SetupError: Something could not be installed.
    """
    require_sourced_rclpy(setting)
    options = ["--system-site-packages"] if setting.sourced_prefixes else []
    _run(setting, "venv", [setting.base_python, "-m", "venv", *options, str(setting.venv)])
    if setting.sourced_prefixes:
        tools = [] if shutil.which("colcon") else list(BUILD_TOOLS)
        _pip(setting, "base", SETUPTOOLS, *tools, constraints=_system_numpy(setting))
        return
    # numpy 2, because the wheels' CMake files name the place of its headers.
    _pip(setting, "base", SETUPTOOLS, "numpy>=2,<3", *BUILD_TOOLS, *setting.ros_wheels)
    _repair_cmake_files(setting)


def _repair_cmake_files(setting: Setting) -> None:
    """Put this Python's folders where the wheels' CMake files name those of the machine that built the wheels."""
    repairs = {
        r"/opt/python/[^/;\"]+/include/python3\.\d+": sysconfig.get_path("include"),
        r"/opt/python/[^/;\"]+/lib/python3\.\d+/site-packages": str(setting.site_packages),
    }
    for path in (setting.venv / "share").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        if "/opt/python/" in text:
            for pattern, folder in repairs.items():
                text = re.sub(pattern, folder, text)
            path.write_text(text, encoding="utf-8")


def build_interfaces(setting: Setting) -> None:
    """Build the interface packages that ROS 2 does not have into the environment.

    Args:
        setting: What the environment is made from.

    Raises:
        SetupError: The build failed.
    """
    if not setting.interfaces_to_build:
        return
    build = setting.state / "build"
    shutil.rmtree(build, ignore_errors=True)
    prefixes = ":".join([str(setting.venv), *setting.sourced_prefixes])
    colcon = "colcon" if setting.sourced_prefixes and shutil.which("colcon") else str(setting.venv / "bin" / "colcon")
    generator = ["-GNinja"] if shutil.which("ninja", path=str(setting.venv / "bin")) else []
    _run(
        setting,
        "interfaces",
        [
            colcon, "--log-base", str(build / "log"), "build", "--build-base", str(build), "--merge-install",
            "--install-base", str(setting.venv), "--base-paths", str(setting.root / "interfaces"),
            "--packages-select", *setting.interfaces_to_build,
            "--cmake-args", *generator, "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={setting.python}",
        ],
        AMENT_PREFIX_PATH=prefixes,
        CMAKE_PREFIX_PATH=prefixes,
        COLCON_HOME=str(build),
        # Without a number of jobs here colcon adds a load limit, under which ninja compiles one file at a time.
        MAKEFLAGS=f"-j{os.cpu_count()}",
    )  # fmt: skip
    shutil.rmtree(build)


def install_packages(setting: Setting) -> None:
    """Install robot_vision, as a link to the sources, with all that its programs and tests need.

    Args:
        setting: What the environment is made from.

    Raises:
        SetupError: Something could not be installed.
    """
    extras = ("gpu" if setting.gpu else "cpu", "dataset", "evaluation", "rl", "sim", "test")
    wanted = setting.requirements() + setting.requirements(*extras)
    if setting.sourced_prefixes and _loads(setting, "cv2"):
        wanted = [line for line in wanted if not line.startswith("opencv")]
    _pip(setting, "packages", *wanted, constraints=_system_numpy(setting))
    _pip(setting, "robot_vision", "--no-build-isolation", "--no-deps", "--editable", str(setting.root))


def install_train(setting: Setting) -> None:
    """Install what the training of networks and of agents needs besides, and diffusers pipelines.

    Args:
        setting: What the environment is made from.

    Raises:
        SetupError: Something could not be installed.
    """
    wanted = setting.requirements("train", "agents", "generation")
    _pip(setting, "train", SETUPTOOLS, *wanted, constraints=_system_numpy(setting))


def _system_numpy(setting: Setting) -> list[str]:
    """Hold numpy at the version that a sourced ROS 2's compiled modules were built with."""
    if not setting.sourced_prefixes:
        return []
    version = _loads(setting, "numpy")
    return [f"numpy=={version}"] if version else []


def _loads(setting: Setting, module: str) -> str:
    """Version of a module that the system's Python has; empty when it has none."""
    command = [setting.base_python, "-c", f"import {module}; print({module}.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _pip(setting: Setting, name: str, *wanted: str, constraints: list[str] | None = None) -> None:
    file = setting.state / f"{name}.constraints"
    file.write_text("".join(line + "\n" for line in [SETUPTOOLS, *(constraints or [])]), encoding="utf-8")
    options = ["--disable-pip-version-check", "--no-input", "--constraint", str(file)]
    _run(setting, name, [str(setting.python), "-m", "pip", "install", *options, *wanted])


def _run(setting: Setting, name: str, command: list[str], **variables: str) -> None:
    """Run a command with its output in a log file; show the end of it only when the command fails."""
    environment = dict(os.environ)
    if not setting.sourced_prefixes:
        environment = {key: value for key, value in environment.items() if key not in FOREIGN_VARIABLES}
    environment |= {"PATH": f"{setting.venv / 'bin'}:{environment['PATH']}", **variables}
    log = setting.state / f"{name}.log"
    with log.open("wb") as output:
        done = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SetupError(_explain(name, done.returncode, log))


def _explain(name: str, status: int, log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    end = "\n".join("    " + line for line in text.rstrip().splitlines()[-15:])
    if "No space left on device" in text:
        advice = "the disk is full: make room (pip cache purge; sudo apt clean)"
    elif re.search(NO_NETWORK, text):
        advice = "the package index could not be reached: see to the network, then start the same command again"
    else:
        advice = f"exit status {status}; all of its output is in {log}"
    return f"step '{name}' failed. Its last lines:\n{end}\nset-up: step '{name}': {advice}"
