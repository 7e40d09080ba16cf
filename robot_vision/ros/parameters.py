"""ROS parameters from the definitions in `robot_vision.params`: declared, described, validated and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from robot_vision.errors import InvalidValueError, RobotVisionError
from robot_vision.params import STAGES, Setting, StageParams, check_names, settings, updated

INT64_LIMIT = 2**63 - 1


class StageParameters:
    """The settings of some stages as parameters `<stage>.<name>` of one node.

    Attributes:
        are_in_use: Whether the node is configured; then only live settings change.
    """

    def __init__(
        self, node: Node, stages: Sequence[str], change: Callable[[str, StageParams], Sequence[Callable[[], None]]]
    ) -> None:
        """Declare, read and check the parameters.

        Args:
            node: Node that owns the parameters.
            stages: Keys of `robot_vision.params.STAGES`.
            change: Called with a stage's name and its new settings before a change is accepted. It raises
                RobotVisionError to refuse what only the running stage can judge, such as a class that its model does
                not have; the steps that it returns put the accepted change in force and must not fail.

        Raises:
            InvalidValueError: If a value given at start is outside its contract, or a name is no setting's.
        """
        self.are_in_use = False
        self._node = node
        self._change = change
        self._accepted: list[Callable[[], None]] = []
        check_names(node._parameter_overrides)
        self._values: dict[str, StageParams] = {}
        for stage in stages:
            with _naming(stage):
                self._values[stage] = STAGES[stage](**_declare(node, stage))
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._apply)

    def __getitem__(self, stage: str) -> Any:
        """The present settings of one stage."""
        return self._values[stage]

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        self._accepted = []
        try:
            changed = self._with_changes(parameters)
            for stage, params in changed.items():
                self._check_live(stage, params)
            self._accepted = [step for stage, params in changed.items() for step in self._change(stage, params)]
        except RobotVisionError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # whatever a strange model brings out must not end the node
            self._node.get_logger().error(f"parameters: {type(error).__name__}: {error}")
            return SetParametersResult(successful=False, reason=f"{type(error).__name__}: {error}")
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        self._values |= self._with_changes(parameters)
        accepted, self._accepted = self._accepted, []
        for step in accepted:
            step()

    def _check_live(self, stage: str, params: StageParams) -> None:
        """Refuse, while the node is configured, what only its next configuration can take.

        Raises:
            InvalidValueError: If another value is given for a setting that is not live.
        """
        for setting in settings(type(params)):
            changes = getattr(params, setting.name) != getattr(self._values[stage], setting.name)
            if self.are_in_use and changes and not setting.live:
                name = self._node.get_fully_qualified_name()
                raise InvalidValueError(
                    f"parameter {stage}.{setting.name}: changes only while the node is unconfigured; deactivate and "
                    f"clean it up first: ros2 lifecycle set {name} cleanup"
                )

    def _with_changes(self, parameters: list[Parameter]) -> dict[str, StageParams]:
        changes: dict[str, dict[str, Any]] = {}
        for parameter in parameters:
            stage, _, name = parameter.name.partition(".")
            if stage in self._values and name:
                changes.setdefault(stage, {})[name] = _from_ros(parameter.value)
        changed = {}
        for stage, values in changes.items():
            with _naming(stage):
                changed[stage] = updated(self._values[stage], values)
        return changed


@contextmanager
def _naming(stage: str) -> Iterator[None]:
    """Say in an error which stage's setting it is about."""
    try:
        yield
    except InvalidValueError as error:
        raise InvalidValueError(f"parameter {stage}.{error}") from error


def _declare(node: Node, stage: str) -> dict[str, Any]:
    values = {}
    for setting in settings(STAGES[stage]):
        try:
            declared = node.declare_parameter(f"{stage}.{setting.name}", _to_ros(setting.default), descriptor(setting))
        except InvalidParameterValueException as error:
            raise InvalidValueError(f"{setting.name} ({describe(setting)}): {error}") from error
        values[setting.name] = _from_ros(declared.value)
    return values


def describe(setting: Setting) -> str:
    """A setting in words, as shown by `ros2 param describe`.

    Args:
        setting: Its definition.

    Returns:
        Description with unit and choices.
    """
    unit = f" [{setting.unit}]" if setting.unit else ""
    choices = f"; one of {', '.join(setting.choices)}" if setting.choices else ""
    return f"{setting.description}{unit}{choices}"


def descriptor(setting: Setting) -> ParameterDescriptor:
    """The ROS descriptor of a setting.

    Args:
        setting: Its definition.

    Returns:
        Descriptor with description, range, and a note if the setting changes only while the node is unconfigured.
    """
    # Typed by `Setting.check` alone, which takes 1 for 1.0 and [] for an empty list; rclpy would take neither.
    ros_descriptor = ParameterDescriptor(description=describe(setting), dynamic_typing=True)
    if not setting.live:
        ros_descriptor.additional_constraints = "changes only while the node is unconfigured"
    if setting.kind is float and setting.low is not None and setting.high is not None:
        ros_descriptor.floating_point_range = [FloatingPointRange(from_value=setting.low, to_value=setting.high)]
    if setting.kind is int and (setting.low is not None or setting.high is not None):
        low = -INT64_LIMIT if setting.low is None else int(setting.low)
        high = INT64_LIMIT if setting.high is None else int(setting.high)
        ros_descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return ros_descriptor


def _to_ros(value: Any) -> Any:
    # An empty list has no element type, which ROS needs: [""] stands for it.
    return (list(value) or [""]) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    if value is None:
        return ()  # how an empty list arrives
    return tuple(text for text in value if text) if isinstance(value, (list, tuple)) else value
