"""The columns of a whole data set, and the values of one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.data.dataset.align import Plan, Row
from robot_vision.data.dataset.columns import Feature
from robot_vision.data.dataset.settings import ACTION, DatasetSettings
from robot_vision.errors import EncoderMismatchError, InvalidValueError

TIME = Feature("time_ns", "int64", (), (), "ns, time of the step", "", "")
DERIVED = (
    Feature("timestamp", "float64", (), (), "s since the episode's first step", "", ""),
    Feature("frame_index", "int64", (), (), "steps since the episode's first", "", ""),
    Feature("episode_index", "int64", (), (), "number of the episode", "", ""),
    Feature("next.done", "bool", (), (), "whether the episode has no next step", "", ""),
)
"""Columns that every data set has, and that follow from the times of an episode's steps."""


@dataclass(frozen=True)
class Schema:
    """What every bag of a data set has in common.

    Attributes:
        features: The columns that come from topics, and the time.
        facts: What else must be the same, such as the encoder: by column and topic.
        masked: Whether each source has a column that says where its values are valid.
    """

    features: tuple[Feature, ...]
    facts: Mapping[str, Mapping[str, Any]]
    masked: bool

    def require(self, other: Schema) -> None:
        """Refuse a bag that does not fit.

        Args:
            other: The schema of a further bag.

        Raises:
            EncoderMismatchError: If its latents are of another encoder.
            InvalidValueError: If it differs otherwise; the message says where.
        """
        for mine, theirs in zip(self.features, other.features, strict=False):
            if mine != theirs:
                raise InvalidValueError(f"{_difference(mine, theirs)} than in the bags before")
        for key, facts in self.facts.items():
            for name, value in facts.items():
                found = other.facts.get(key, {}).get(name)
                if found != value:
                    kind = EncoderMismatchError if name.startswith("encoder") else InvalidValueError
                    raise kind(f"{key}: {name} is {found}, in the bags before it is {value}")
        if len(self.features) != len(other.features):
            raise InvalidValueError("its columns are others than in the bags before")

    def values(self, plan: Plan, row: Row) -> dict[str, npt.NDArray[Any]]:
        """The values of one step.

        Args:
            plan: The plan that the row belongs to.
            row: A step; where it has no sample, the values are zeros.

        Returns:
            One array a feature.
        """
        parts: dict[str, list[npt.NDArray[Any]]] = {TIME.name: [np.array(plan.steps_ns[row.step])]}
        for source, sample in zip(plan.sources, row.samples, strict=True):
            features = source.columns.features
            arrays = sample or tuple(np.zeros(feature.shape, feature.dtype) for feature in features)
            for feature, array in zip(features, arrays, strict=True):
                parts.setdefault(feature.name, []).append(array)
            if self.masked:
                parts.setdefault(_valid_name(features[0]), []).append(np.array(sample is not None))
        return {feature.name: _joined(feature, parts[feature.name]) for feature in self.features}


def _joined(feature: Feature, arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0].astype(feature.dtype, copy=False)
    return np.all(arrays, axis=0) if feature.shape == () else np.concatenate(arrays).astype(feature.dtype)


def schema_of(plan: Plan, settings: DatasetSettings) -> Schema:
    """The schema of one bag.

    Args:
        plan: The bag's plan.
        settings: The rules.

    Returns:
        The schema.

    Raises:
        InvalidValueError: If two topics give a column of one name.
    """
    masked = settings.invalid == "mask"
    features: dict[str, Feature] = {}
    for source in plan.sources:
        for feature in source.columns.features:
            _add(features, feature, source.is_action)
        if masked:
            first = source.columns.features[0]
            valid = Feature(_valid_name(first), "bool", (), (), "whether there is a sample", first.topic, first.msgtype)
            _add(features, valid, source.is_action)
    facts = {
        f"{source.columns.features[0].name} of {source.times.topic}": source.columns.facts for source in plan.sources
    }
    return Schema((TIME, *features.values()), facts, masked)


def _add(features: dict[str, Feature], new: Feature, is_action: bool) -> None:
    known = features.get(new.name)
    if known is None:
        features[new.name] = new
    elif is_action:
        features[new.name] = _both(known, new)
    else:
        raise InvalidValueError(f"{known.topic} and {new.topic} would both become {new.name}; name one: TOPIC=NAME")


def _both(left: Feature, right: Feature) -> Feature:
    """An action of two topics: the values of one after those of the other."""
    topic, msgtype = f"{left.topic}, {right.topic}", f"{left.msgtype}, {right.msgtype}"
    if left.shape == ():
        return replace(left, topic=topic, msgtype=msgtype)
    dtype = np.result_type(left.dtype, right.dtype).name
    shape, names = (left.shape[0] + right.shape[0],), left.names + right.names
    return replace(left, dtype=dtype, shape=shape, names=names, topic=topic, msgtype=msgtype)


def _valid_name(feature: Feature) -> str:
    return f"{ACTION}_valid" if feature.name == ACTION else f"{feature.name}_valid"


def _difference(mine: Feature, theirs: Feature) -> str:
    if mine.name != theirs.name:
        return f"there is a column {theirs.name} instead of {mine.name}: other"
    for name in ("msgtype", "shape", "names", "dtype"):
        if getattr(mine, name) != getattr(theirs, name):
            return f"{theirs.name}: {name} is {getattr(theirs, name)}, not {getattr(mine, name)}: other"
    return f"{theirs.name}: other"
