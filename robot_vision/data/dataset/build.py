"""Bags to data set: one episode a bag, or several where it has gaps; whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from robot_vision import __version__
from robot_vision.data.bags import BagReader
from robot_vision.data.dataset.align import Plan, plan_steps, rows
from robot_vision.data.dataset.alignment import BagAlignment, TopicAlignment
from robot_vision.data.dataset.cutter import Cutter
from robot_vision.data.dataset.episode import Episode
from robot_vision.data.dataset.flatten import RULES as VALUE_RULES
from robot_vision.data.dataset.lerobot import LeRobotStorage, require_lerobot
from robot_vision.data.dataset.scan import scan
from robot_vision.data.dataset.schema import DERIVED, Schema, schema_of
from robot_vision.data.dataset.settings import DatasetSettings
from robot_vision.data.dataset.storage import Format, NpzStorage, ParquetStorage, Storage, parquet_module
from robot_vision.errors import BagError, RobotVisionError

_VERSION = 1
_HASH_BLOCK = 1 << 20


@dataclass
class BagResult:
    """What became of a bag.

    Attributes:
        bag: Its path.
        episodes: Number of episodes.
        steps: Steps in them.
        steps_left_out: Steps of its timeline that are in none.
        error: Why it is not in the data set; empty if it is.
    """

    bag: Path
    episodes: int = 0
    steps: int = 0
    steps_left_out: int = 0
    error: str = ""


@dataclass
class Result:
    """What became of all.

    Attributes:
        bags: One a bag, in their order.
        alignment: What `TopicAlignment.summary` says of each topic; none if no bag could be used.
        left_out: Fields of messages that are not in the columns, by topic.
    """

    bags: list[BagResult] = field(default_factory=list)
    alignment: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def build(
    bags: Sequence[Path],
    out: Path,
    settings: DatasetSettings,
    storage: Format,
    on_message: Callable[[], object] = lambda: None,
) -> Result:
    """Make a data set.

    It grows in `<out>.part` and is renamed at the end. A bag that cannot be used is left out with its reason, and the
    others go on; if none can, nothing is written.

    Args:
        bags: Bags in the order of their episodes.
        out: Folder to create.
        settings: The rules.
        storage: Format of the data set.
        on_message: Called twice for each message of the topics, once for each reading.

    Returns:
        What became of the bags.

    Raises:
        BagError: If `out` or what is left of an interrupted run is there, or the disk refuses.
        InvalidValueError: If the settings do not suit the format.
        MissingDependencyError: If the format needs a package that is not installed.
    """
    # Before the first bag is read: what is wrong here is wrong for all.
    if storage == "lerobot":
        require_lerobot(settings.rate_hz, settings.task)
    elif storage == "parquet":
        parquet_module()
    with _unfinished(out) as part:
        builder = _Builder(part, settings, storage, on_message)
        for bag in bags:
            builder.add(bag)
        if builder.finish():
            builder.data.rename(out)
    return builder.result


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    part = out.with_name(f"{out.name}.part")
    if out.exists():
        raise BagError(f"{out}: exists already and is not overwritten; remove it or choose another name")
    try:
        part.mkdir(parents=True)
    except FileExistsError as error:
        raise BagError(f"{part}: another run is writing there, or was killed; in the latter case remove it") from error
    except OSError as error:
        raise BagError(f"{out}: the data set cannot be created: {error}") from error
    try:
        yield part
    except OSError as error:
        raise BagError(f"{out}: the data set cannot be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _Builder:
    """A data set in the making."""

    def __init__(
        self, part: Path, settings: DatasetSettings, storage: Format, on_message: Callable[[], object]
    ) -> None:
        self.data = part / "data"
        self.result = Result()
        self._raw, self._settings, self._format, self._on_message = part / "raw", settings, storage, on_message
        self._schema: Schema | None = None
        self._storage: Storage | None = None
        self._totals: list[TopicAlignment] = []
        self._episodes: list[dict[str, Any]] = []
        self._sources: list[dict[str, Any]] = []

    def add(self, path: Path) -> None:
        """Add the episodes of a bag, or its error."""
        outcome = BagResult(path)
        self.result.bags.append(outcome)
        try:
            with BagReader(path) as bag:
                episodes = self._read(bag, outcome)
            source = _source(path)
        except RobotVisionError as error:
            outcome.error = str(error) if str(path) in str(error) else f"{path}: {error}"
        except OSError:
            raise
        except Exception as error:  # whatever a strange recording brings out must not stop the others
            outcome.error = f"{path}: {type(error).__name__}: {error}"
        else:
            self._sources.append(source)
            for episode in episodes:
                self._store(episode, outcome)
        shutil.rmtree(self._raw, ignore_errors=True)

    def _read(self, bag: BagReader, outcome: BagResult) -> list[Episode]:
        found = scan(bag, self._settings.topics, self._settings.clock, self._on_message)
        plan = plan_steps(bag, found, self._settings)
        schema = schema_of(plan, self._settings)
        if self._schema is not None:
            self._schema.require(schema)
        alignment = BagAlignment(plan)
        cutter = Cutter(self._raw, schema, plan)
        try:
            for row in rows(bag, plan, self._on_message):
                alignment.see(row)
                cutter.take(row)
            episodes = cutter.finish()
        finally:
            cutter.close()
        if not episodes:
            raise BagError(f"{bag.path}: {_why_empty(plan, alignment.unusable())}")
        if self._schema is None:
            self._begin(schema, plan)
        outcome.steps_left_out = len(plan.steps_ns) - len(cutter.steps)
        alignment.add_to(self._totals, cutter.steps)
        return episodes

    def _begin(self, schema: Schema, plan: Plan) -> None:
        features, settings = schema.features, self._settings
        if self._format == "lerobot":
            self._storage = LeRobotStorage(self.data, features, settings.rate_hz, settings.task)
        else:
            self._storage = (ParquetStorage if self._format == "parquet" else NpzStorage)(self.data, features)
        self._schema = schema
        for source in plan.sources:
            column = source.columns.features[0].name
            self._totals.append(TopicAlignment(column, source.times.topic, source.is_action))
            if left_out := source.columns.facts.get("left_out"):
                self.result.left_out[source.times.topic] = left_out

    def _store(self, episode: Episode, outcome: BagResult) -> None:
        assert self._storage is not None
        file = self._storage.add(episode, len(self._episodes))
        self._episodes.append(
            {
                "file": file,
                "source": len(self._sources) - 1,
                "steps": episode.steps,
                "first_ns": episode.first_ns,
                "last_ns": episode.last_ns,
                "ended_by": episode.ended_by,
            }
        )
        outcome.episodes += 1
        outcome.steps += episode.steps

    def finish(self) -> bool:
        """Describe the data set; False if no bag could be used."""
        if self._storage is None or self._schema is None:
            return False
        self._storage.close()
        self.result.alignment = [total.summary() for total in self._totals]
        path = self.data / self._storage.description
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(self._description(self._schema), indent=2) + "\n", encoding="utf-8")
        return True

    def _description(self, schema: Schema) -> dict[str, Any]:
        settings = self._settings
        features = {feature.name: asdict(feature) for feature in (*DERIVED, *schema.features)}
        for entry in features.values():
            del entry["name"]
        return {
            "version": _VERSION,
            "robot_vision": __version__,
            "format": self._format,
            "rate_hz": settings.rate_hz,
            "task": settings.task,
            "features": features,
            "facts": schema.facts,
            "rules": rules(settings),
            "alignment": self.result.alignment,
            "episodes": self._episodes,
            "sources": self._sources,
            "failed": [{"bag": entry.bag.name, "reason": entry.error} for entry in self.result.bags if entry.error],
        }


def rules(settings: DatasetSettings) -> dict[str, Any]:
    """The rules by which the values were chosen, for the data set's description.

    Args:
        settings: The settings.
    """
    return {
        "time": "header stamps where every message of a topic has one, else reception"
        if settings.clock == "header"
        else "reception",
        "steps": f"from the first to the last message of {settings.reference_topic}; a silence above "
        f"{settings.gap_s:g} s begins a new episode",
        "observation": "the newest message at or before the step",
        "action": "the first message at or after the step and before the next one, else the newest before",
        "max_age_s": {topic: settings.max_age_ns(topic) / 1e9 for topic in settings.topics},
        "step_without_usable_sample": "ends the episode"
        if settings.invalid == "cut"
        else "is kept with zeros, and false in the column _valid",
        "next.done": "the recording or the stretch ends there: cut off, not reached",
        "values": list(VALUE_RULES),
    }


def _why_empty(plan: Plan, unusable: Sequence[int]) -> str:
    missing = [
        f"{source.times.topic}: {int((source.messages < 0).sum())} without a fresh message, {count} with one not usable"
        for source, count in zip(plan.sources, unusable, strict=True)
    ]
    return f"no two steps in a row have a sample of every topic; of {len(plan.steps_ns)} steps, {'; '.join(missing)}"


def _source(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of a bag's files."""
    folder = path.parent if path.name == "metadata.yaml" else path
    files = sorted(entry for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else [folder]
    return {
        "bag": folder.resolve().name,
        "files": [{"name": file.name, "bytes": file.stat().st_size, "sha256": _sha256(file)} for file in files],
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
