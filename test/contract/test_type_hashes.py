"""The wire format of the interface packages: programs talk only if the type hashes agree."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`")

from robot_vision.ros.type_hashes import OWN_HASHES, STANDARD_HASHES, built_hash


@pytest.mark.parametrize("interface", STANDARD_HASHES)
def test_standard_messages_are_those_of_the_distributions(interface: str) -> None:
    """Programs built against a distribution's vision_msgs understand ours, and the other way round."""
    assert built_hash(interface) == f"RIHS01_{STANDARD_HASHES[interface]}"


@pytest.mark.parametrize("interface", OWN_HASHES)
def test_own_interfaces_are_unchanged(interface: str) -> None:
    """No definition changes by accident."""
    assert built_hash(interface) == f"RIHS01_{OWN_HASHES[interface]}"


def test_no_interface_is_missing_from_the_lists() -> None:
    """A definition that is added is listed here, too."""
    folder = Path(__file__).resolve().parents[2] / "interfaces"
    defined = {
        f"{path.parents[1].name}/{path.parent.name}/{path.stem}"
        for path in folder.rglob("*")
        if path.suffix in (".msg", ".srv", ".action")
    }
    assert defined == STANDARD_HASHES.keys() | OWN_HASHES.keys()


def test_service_and_action_of_one_name_stand_side_by_side() -> None:
    """GenerateImage is both; each has its own types."""
    service = importlib.import_module("robot_vision_msgs.srv").GenerateImage
    action = importlib.import_module("robot_vision_msgs.action").GenerateImage
    assert not hasattr(service.Request(), "preview")
    assert action.Goal().preview is False
    assert (service.Request().seed, action.Goal().seed) == (-1, -1)
