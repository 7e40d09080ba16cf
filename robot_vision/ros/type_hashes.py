"""The wire format of the interface packages: the type hashes that programs of this release expect of one another."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

# Of the distributions' vision_msgs 4.1.1, without the prefix RIHS01_.
STANDARD_HASHES = {
    "vision_msgs/msg/BoundingBox2D": "008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
    "vision_msgs/msg/BoundingBox2DArray": "2464e82838009386d371b523211c21c91d74d313fcdd6788223c531d621cf691",
    "vision_msgs/msg/BoundingBox3D": "bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698",
    "vision_msgs/msg/BoundingBox3DArray": "a81938db9576b10c2eecd7c5a5da3eac496efd00221b25ed051dfbc81fb56da6",
    "vision_msgs/msg/Classification": "f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143",
    "vision_msgs/msg/Detection2D": "0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "vision_msgs/msg/Detection2DArray": "214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "vision_msgs/msg/Detection3D": "ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b",
    "vision_msgs/msg/Detection3DArray": "793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
    "vision_msgs/msg/LabelInfo": "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "vision_msgs/msg/ObjectHypothesis": "51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
    "vision_msgs/msg/ObjectHypothesisWithPose": "41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc",
    "vision_msgs/msg/Point2D": "eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
    "vision_msgs/msg/Pose2D": "b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
    "vision_msgs/msg/VisionClass": "1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
    "vision_msgs/msg/VisionInfo": "95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
}

# Of our own messages, services and actions. A new hash cuts off every program built against the old definition and
# makes recorded bags unreadable under the new one: it needs a new version of the package and a line in CHANGELOG.md.
OWN_HASHES = {
    "robot_vision_msgs/action/GenerateImage": "af7524010b5d7f1188f34dff030b1e5cb3e1795dbef2bc5aa99280938531288b",
    "robot_vision_msgs/msg/LatentState": "61cb788de551938173cec6eb19809e04bbcbdec8d79797b8dbf7359b534f8bbd",
    "robot_vision_msgs/msg/Track": "b6780a127a452bef94148f7b82b2a8d2dcb0069f630deaebd6c7ac4ca983523e",
    "robot_vision_msgs/msg/TrackArray": "969ed35c3325c4a482e5fbd96a0db25ea983dae8c63d1d0bb90dc359f88e1820",
    "robot_vision_msgs/srv/Decode": "63f25cf1cd560f3c505dfafdf3c4a7cc10c09f191afe33b9e04f7bf9ec38967c",
    "robot_vision_msgs/srv/Detect": "24ed17867e06a1c06e5362fcb78e47b27cf1a421c43d5badd03f0c56ee442d82",
    "robot_vision_msgs/srv/Encode": "e7b26326012d69014d6c159f79ab2f71b5b58d4794bac9b0024b168427629c25",
    "robot_vision_msgs/srv/GenerateImage": "44cfc25666d4a8511223ad43a9c7413f9714ad1f93b9fb49691fdc72ce4b7159",
}

EXPECTED_HASHES = {name: f"RIHS01_{value}" for name, value in (STANDARD_HASHES | OWN_HASHES).items()}
"""Hash by interface, with its prefix."""


def built_hash(interface: str) -> str:
    """Hash of an interface as its build wrote it down.

    Args:
        interface: Name as in `sensor_msgs/msg/Image`.

    Returns:
        The hash with its prefix.

    Raises:
        ImportError: If the package is not installed.
        OSError: If its description is not where packages have it.
    """
    package, kind, name = interface.split("/")
    inside = Path("share", package, kind, f"{name}.json")
    parents = Path(str(importlib.import_module(package).__file__)).parents
    path = next((folder / inside for folder in parents if (folder / inside).exists()), inside)
    description = json.loads(path.read_text(encoding="utf-8"))
    return {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}[interface]
