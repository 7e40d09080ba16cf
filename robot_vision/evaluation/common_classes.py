"""The classes that labels and a network have in common, whatever numbers each gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.types import Detections, Int64Array


@dataclass(frozen=True, eq=False)
class CommonClasses:
    """The classes that labels and network share, numbered in the order of the network.

    Attributes:
        names: The network's names of them.
        labels_only: Classes of the labels that the network does not have.
        network_only: Classes of the network that the labels do not have.
        number_of_label: (T,) int64, common number by class id of the labels; -1 if not common.
        number_of_output: (C,) int64, common number by class id of the network; -1 if not common.
    """

    names: tuple[str, ...]
    labels_only: tuple[str, ...]
    network_only: tuple[str, ...]
    number_of_label: Int64Array
    number_of_output: Int64Array

    def labelled(self, boxes: LabelledBoxes) -> LabelledBoxes:
        """The objects of common classes only, renumbered."""
        numbers = self.number_of_label[boxes.class_ids]
        kept = numbers >= 0
        return LabelledBoxes(boxes.boxes_xyxy[kept], numbers[kept], boxes.ids[kept], boxes.ignored[kept])

    def found(self, detections: Detections) -> Detections:
        """The detections of common classes only, renumbered."""
        kept = detections.select(self.number_of_output[detections.class_ids] >= 0)
        return Detections(kept.boxes_xyxy, kept.scores, self.number_of_output[kept.class_ids])


def common_classes(label_names: Sequence[str], network_names: Sequence[str]) -> CommonClasses:
    """Match classes by name; case does not matter, and an underscore is a space.

    Args:
        label_names: Names by class id of the labels.
        network_names: Names by class id of the network.

    Returns:
        What they share.

    Raises:
        EvaluationError: If they share no name.
    """
    known = {_plain(name) for name in label_names}
    names = tuple({_plain(name): name for name in network_names if _plain(name) in known}.values())
    if not names:
        raise EvaluationError(
            f"labels and network have no class in common: the labels have {', '.join(label_names) or 'none'}; the "
            f"network has {', '.join(network_names)}"
        )
    numbers = {_plain(name): number for number, name in enumerate(names)}
    of_label, of_output = (
        np.array([numbers.get(_plain(name), -1) for name in given], np.int64) for given in (label_names, network_names)
    )
    return CommonClasses(
        names,
        tuple(name for name in label_names if _plain(name) not in numbers),
        tuple(name for name in network_names if _plain(name) not in numbers),
        of_label,
        of_output,
    )


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()
