"""Packaging: what the code imports is declared, what is declared is there, and the robot needs no torch."""

from __future__ import annotations

import ast
import configparser
import re
import runpy
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "robot_vision"

# Names under which the two ways of declaring a dependency, package.xml and setup.cfg, know an imported module.
ROSDEP_KEYS = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "onnxruntime": "python3-onnxruntime-pip",
    "rosbags": "python3-rosbags-pip",
    "scipy": "python3-scipy",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}  # fmt: skip

# Not on a robot: development tools, each in an extra of setup.cfg.
DEVELOPMENT = {
    "PIL", "diffusers", "gymnasium", "matplotlib", "mujoco", "onnx", "pycocotools", "skimage", "sklearn", "torch",
    "transformers",
}  # fmt: skip
WITHOUT_WHEEL = {"cv_bridge", "launch", "launch_ros", "robot_vision_msgs", "vision_msgs"}


def imported_modules(path: Path) -> Iterator[str]:
    """Top-level names of the modules that a file imports at run time, at any depth."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def third_party() -> set[str]:
    """Names of all modules that the package imports and that are neither its own nor Python's."""
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "launch").glob("*.py")]
    names = {name for path in files for name in imported_modules(path)}
    return names - set(sys.stdlib_module_names) - {"robot_vision"}


def declared_in_package_xml() -> set[str]:
    """Keys of everything that package.xml wants at run time."""
    tree = ElementTree.parse(ROOT / "package.xml")
    return {element.text or "" for element in tree.iter() if element.tag in ("depend", "exec_depend")}


def declared_in_setup_cfg() -> dict[str, list[str]]:
    """Names of the required distributions, by extra; under "" those of the package itself."""
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    lists = {"": configuration["options"]["install_requires"], **configuration["options.extras_require"]}
    return {
        extra: [re.split(r"[\[<>=~! ]", line)[0].lower() for line in text.split("\n") if line]
        for extra, text in lists.items()
    }


def test_package_xml_declares_every_import() -> None:
    """What `rosdep install` brings is all that the programs import."""
    wanted = {ROSDEP_KEYS.get(name, name) for name in third_party() - DEVELOPMENT}
    assert wanted <= declared_in_package_xml()


def test_setup_cfg_declares_every_import_that_pip_can_install() -> None:
    """Everything but ROS 2 itself, which set-up installs, and what pip does not have."""
    messages = {name for name in third_party() if name.endswith(("_msgs", "_interfaces", "_srvs"))}
    ros = messages | WITHOUT_WHEEL | {"rclpy", "ament_index_python"}
    wanted = {DISTRIBUTIONS.get(name, name) for name in third_party() - ros}
    assert wanted <= {name for names in declared_in_setup_cfg().values() for name in names}


def test_colcon_can_read_the_metadata() -> None:
    """It evaluates what setuptools knows as a literal, and the object that python_requires becomes is none."""
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    assert "python_requires" not in configuration["options"]


def test_the_robot_needs_no_development_tool() -> None:
    """Neither torch nor a simulator is required to run; they are extras. On a GPU, graphs are edited at start-up."""
    declared = declared_in_setup_cfg()
    assert not DEVELOPMENT & {*declared[""], *declared["cpu"]}
    assert DEVELOPMENT & {*declared["gpu"]} <= {"onnx"}
    assert "torch" not in {*declared["test"], *declared["evaluation"], *declared["sim"]}


def test_the_environment_of_the_robot_holds_no_torch() -> None:
    """No requirement brings it in by the back door. An environment for training is another matter."""
    try:
        names = {re.split(r"[^\w.-]", line)[0].lower() for line in requirements_of("robot_vision")}
    except metadata.PackageNotFoundError:
        pytest.skip("robot_vision is not installed here: run `make test`")
    assert "numpy" in names
    assert "torch" not in names


def requirements_of(distribution: str, seen: set[str] | None = None) -> set[str]:
    """All requirements of an installed distribution without its extras, and theirs in turn."""
    seen = set() if seen is None else seen
    for line in metadata.requires(distribution) or []:
        if "extra ==" in line or line in seen:
            continue
        seen.add(line)
        try:
            requirements_of(re.split(r"[^\w.-]", line)[0], seen)
        except metadata.PackageNotFoundError:
            continue
    return seen


@pytest.fixture(scope="module")
def setup_arguments() -> dict[str, object]:
    """What setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    caught: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **arguments: caught.update(arguments))
        runpy.run_path(str(ROOT / "setup.py"))
    return caught


def test_data_files_exist_and_none_is_left_out(setup_arguments: dict[str, object]) -> None:
    """Every launch file, configuration, model and sample is installed under share/robot_vision, in its folder."""
    pairs = [(target, Path(file)) for target, files in setup_arguments["data_files"] for file in files]
    installed = {f"{target}/{file.name}": file for target, file in pairs}
    assert all((ROOT / file).is_file() for file in installed.values())
    kept = [path for name in ("config", "launch", "models", "samples") for path in (ROOT / name).rglob("*.*")]
    kept = [path for path in kept if path.is_file() and path.suffix != ".pyc"]
    wanted = {f"share/robot_vision/{path.relative_to(ROOT)}" for path in kept}
    wanted |= {"share/robot_vision/package.xml", "share/ament_index/resource_index/packages/robot_vision"}
    assert wanted <= installed.keys()


def entry_points() -> list[str]:
    """Lines `name = module:function` of setup.py, read without running it."""
    source = (ROOT / "setup.py").read_text(encoding="utf-8")
    nodes = re.search(r"NODES = \((.*?)\)", source, re.DOTALL)
    assert nodes
    names = re.findall(r'"(\w+)"', nodes[1])
    return ["robot_vision = robot_vision.cli.main:main", *(f"{name} = robot_vision.ros.{name}:main" for name in names)]


@pytest.mark.parametrize("line", entry_points())
def test_every_program_starts_where_the_entry_point_says(line: str, setup_arguments: dict[str, object]) -> None:
    """Each console script names a function that can be imported."""
    programs = setup_arguments["entry_points"]["console_scripts"]
    assert line in programs
    assert len(programs) == len(entry_points())
    module, function = line.split(" = ")[1].split(":")
    if ".ros." in module:
        pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`")
    assert callable(getattr(import_module(module), function))


def test_every_folder_of_the_package_is_a_package() -> None:
    """A folder without __init__.py would work from the sources and be missing once installed."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_versions_agree() -> None:
    """The package, its manifest and its interfaces carry one version."""
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "(.*)"', text)
    assert version
    manifests = [ROOT / "package.xml", ROOT / "interfaces" / "robot_vision_msgs" / "package.xml"]
    assert {ElementTree.parse(path).findtext("version") for path in manifests} == {version[1]}
