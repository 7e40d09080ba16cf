"""What `robot_vision doctor` looks at in the software: versions, interfaces, models, execution providers."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from robot_vision import __version__
from robot_vision.errors import ModelError, RobotVisionError
from robot_vision.ros.finding import Finding
from robot_vision.ros.type_hashes import EXPECTED_HASHES, built_hash
from robot_vision.shipped import shared_folders

DISTRIBUTIONS = {3: "humble", 4: "iron", 7: "jazzy", 9: "kilted"}
"""Distribution by the first number of rclpy's version."""

NEEDED = ("numpy", "cv2", "onnxruntime", "rosbags")
DETECTOR = "simworld_yolo"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
NVIDIA = Path("/proc/driver/nvidia/gpus")
BOARD = Path("/proc/device-tree/model")
_BUILD = "colcon build --base-paths src src/robot_vision/interfaces  # with ROS 2 from pip: make setup"
_GET_ROS = "source /opt/ros/$(ls /opt/ros | tail -n 1)/setup.bash  # with ROS 2 from pip: make setup"


def software_findings(environ: Mapping[str, str], model: str) -> Iterator[Finding]:
    """Versions, distribution, interfaces and models.

    Args:
        environ: The environment.
        model: Another model to look at; empty for none.
    """
    yield Finding("OK", "python", f"{platform.python_version()} ({sys.executable}), robot_vision {__version__}")
    for name in NEEDED:
        yield package_finding(name)
    if importlib.util.find_spec("torch"):
        yield Finding("OK", "torch", f"{_version('torch', None)} (for training; not loaded by nodes)")
    yield distribution_finding(environ)
    yield from interface_findings()
    yield from model_findings(model)


def package_finding(name: str) -> Finding:
    """A package that nodes need, really imported.

    Args:
        name: Name of the module.
    """
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a package that was built for another numpy raises what it likes
        mend = _GET_ROS if name == "rclpy" else f"{sys.executable} -m pip install --force-reinstall {_pip_name(name)}"
        return Finding("FAIL", name, f"cannot be imported: {_line(error)}", mend)
    return Finding("OK", name, _version(name, module))


def distribution_finding(environ: Mapping[str, str]) -> Finding:
    """Which distribution rclpy is from, and whether the sourced one is the same.

    Args:
        environ: The environment.
    """
    try:
        version = importlib.metadata.version("rclpy")
    except importlib.metadata.PackageNotFoundError:
        return Finding("FAIL", "distribution", "rclpy is not installed", _GET_ROS)
    major = int(version.split(".")[0])
    name = DISTRIBUTIONS.get(
        major, f"unknown, after kilted (rclpy {version})" if major > max(DISTRIBUTIONS) else "unknown"
    )
    sourced = environ.get("ROS_DISTRO", "")
    if sourced and name in DISTRIBUTIONS.values() and sourced not in (name, "rolling"):
        text = f"{sourced} is sourced, but Python finds the rclpy of {name}: two installations are mixed"
        return Finding("FAIL", "distribution", text, "unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO")
    return Finding("OK", "distribution", f"{name}{'' if sourced else ' (ROS_DISTRO is not set)'}")


def interface_findings() -> Iterator[Finding]:
    """Message packages that can be imported and have the hashes that other programs expect."""
    for package in sorted({interface.split("/")[0] for interface in EXPECTED_HASHES}):
        own = {name: value for name, value in EXPECTED_HASHES.items() if name.startswith(f"{package}/")}
        try:
            importlib.import_module(f"{package}.msg")
            differing = [name for name, value in own.items() if built_hash(name) != value]
        except Exception as error:
            yield Finding("FAIL", package, f"cannot be imported: {_line(error)}", _BUILD)
            continue
        if differing:
            text = f"other definitions than this release's: {', '.join(differing)}; programs built for them do not talk"
            yield Finding("FAIL", package, text, _BUILD)
        else:
            yield Finding("OK", package, f"{len(own)} definitions, all with the expected type hash")


def model_findings(model: str) -> Iterator[Finding]:
    """The shipped models, and one more, against their cards.

    Args:
        model: Another model; empty for none.
    """
    folders = [folder / "models" for folder in shared_folders() if (folder / "models").is_dir()]
    cards = sorted(folders[0].glob("*.yaml")) if folders else []
    if not cards:
        yield Finding("FAIL", "models", "no shipped model is installed", _BUILD)
    yield from map(model_finding, [*cards, *([model] if model else [])])
    if model:
        yield from provider_findings("auto", model)


def model_finding(model: str | Path) -> Finding:
    """A model against its card.

    Args:
        model: Shipped name, ONNX file or card.
    """
    from robot_vision.runtime.card import load_card  # noqa: PLC0415 (numpy or yaml may be what is broken)

    try:
        card = load_card(model)
    except ModelError as error:
        return Finding("FAIL", f"model {Path(model).stem}", str(error), _restoration(model))
    text = f"{card.task}, sha256 {card.sha256[:12]} as its card says ({card.onnx_path})"
    return Finding("OK", f"model {card.name}", text)


def provider_findings(provider: str, model: str = DETECTOR) -> Iterator[Finding]:
    """One execution provider, by running a network on it.

    Args:
        provider: cpu, cuda, tensorrt or auto.
        model: The network.
    """
    import onnxruntime as ort  # noqa: PLC0415 (may be what is broken)

    from robot_vision.params import SessionParams  # noqa: PLC0415
    from robot_vision.runtime.card import load_card  # noqa: PLC0415
    from robot_vision.runtime.session import OnnxSession  # noqa: PLC0415

    check, gpu = f"provider {provider}", gpu_name()
    if PROVIDERS.get(provider, PROVIDERS["cpu"]) not in ort.get_available_providers():
        text = f"not in the installed ONNX Runtime {ort.__version__}"
        if gpu and provider == "cuda":
            yield Finding("WARN", check, f"{text}, although there is a GPU: {gpu}", _gpu_runtime())
        else:
            yield Finding("OK", check, f"{text}{f'; GPU: {gpu}' if gpu else ', and there is no NVIDIA GPU'}")
        return
    try:
        session = OnnxSession(load_card(model), SessionParams(provider=provider))
        blank = session.new_input()
        begin_s = time.perf_counter()
        session.run(blank)
        run_ms = (time.perf_counter() - begin_s) * 1e3
    except RobotVisionError as error:
        # Without a GPU, a runtime that could use one is no fault: nodes take the CPU.
        missing = provider in ("cuda", "tensorrt") and not gpu
        mend = "robot_vision inspect " + model if isinstance(error, ModelError) else _gpu_runtime()
        yield Finding("WARN" if missing else "FAIL", check, str(error), mend)
        return
    device = gpu if session.provider != "cpu" and gpu else platform.processor() or platform.machine()
    yield Finding("OK", check, f"{model} runs on {session.device} ({device}) in {run_ms:.1f} ms")


def gpu_name() -> str:
    """Names of the NVIDIA GPUs that the driver or the board shows; empty for none."""
    names = []
    for path in sorted(NVIDIA.glob("*/information")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    if not names and BOARD.is_file():
        board = BOARD.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
        names = [board] if board.startswith("NVIDIA") else []
    return ", ".join(names)


def _version(name: str, module: object) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(module, "__version__", "version unknown"))


def _pip_name(module: str) -> str:
    return {"cv2": "opencv-python-headless"}.get(module, module)


def _gpu_runtime() -> str:
    pip = f"{sys.executable} -m pip"
    return f"{pip} uninstall -y onnxruntime && {pip} install 'onnxruntime-gpu[cuda,cudnn]'"


def _restoration(card: Path | str) -> str:
    folder = Path(card).resolve().parent
    if shutil.which("git") and (folder.parent / ".git").exists():
        return f"git -C {folder} checkout -- {Path(card).stem}.onnx {Path(card).stem}.yaml"
    return f"robot_vision inspect {card}" if os.sep in str(card) else _BUILD


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
