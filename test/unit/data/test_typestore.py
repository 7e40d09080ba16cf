"""Message definitions are found where an installation or a source tree keeps them."""

from __future__ import annotations

import pytest

from robot_vision.data import typestore
from robot_vision.errors import MissingDependencyError


def test_type_hash_equals_the_published_one() -> None:
    """Hash of vision_msgs 4.1.1's Detection2DArray as a Kilted build has it."""
    wanted = "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968"
    assert typestore.ros_typestore().hash_rihs01("vision_msgs/msg/Detection2DArray") == wanted


def test_prefixes_in_the_environment_are_searched_in_order(tmp_path, monkeypatch) -> None:
    for prefix in ("one", "two"):
        (tmp_path / prefix / "share" / "vision_msgs" / "msg").mkdir(parents=True)
    (tmp_path / "two" / "share" / "vision_msgs" / "msg" / "Point2D.msg").write_text("float64 x\nfloat64 y\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    assert typestore._message_folder("vision_msgs") == tmp_path / "two" / "share" / "vision_msgs" / "msg"


def test_a_package_that_is_nowhere_says_where_it_was_looked_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"no_such_msgs.*share/no_such_msgs/msg"):
        typestore._message_folder("no_such_msgs")
