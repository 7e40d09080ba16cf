"""`robot_vision evaluate`: measures networks or the tracker against known data and leaves a report."""

from __future__ import annotations

import argparse
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from robot_vision.cli import evaluate_generation
from robot_vision.cli.tracking_data import add_sequences, chosen_sequences, tracker_numbers, whole_number
from robot_vision.errors import MissingDependencyError
from robot_vision.params import DetectorParams, SessionParams, Setting, StageParams, TrackerParams, settings
from robot_vision.types import Frame

if TYPE_CHECKING:
    from robot_vision.data.labelled import LabelledSet
    from robot_vision.detection.yolo import Detector
    from robot_vision.evaluation.common_classes import CommonClasses
    from robot_vision.evaluation.ground_truth import LabelledBoxes
    from robot_vision.types import Detections

HELP = "measure a detector, encoders, the tracker or image generation against known data"
_DETECTOR = "accuracy of a detector on labelled images: AP, precision and recall, confusion, worst images"
_LATENT = "how good the latents of one encoder or several are: reconstruction, probes, clusters, smoothness, novelty"
_TRACKER = "accuracy of the tracker on detections with known truth: HOTA, MOTA, IDF1, id switches"
_GENERATION = "whether generated images show what was asked for, and how near they are to real ones"
_NEEDED: dict[str, tuple[str, ...]] = {
    "detector": ("matplotlib", "pycocotools"),
    "latent": ("matplotlib", "skimage", "sklearn"),
    "tracker": (),
    "generation": ("sklearn",),
}
_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}
_SESSION_OPTIONS = ("provider", "allow_cpu", "threads")
_DETECTOR_OPTIONS = (
    "iou_threshold", "max_detections", "class_agnostic", "slice_columns", "slice_rows", "slice_overlap",
)  # fmt: skip
# Average precision is over all scores; this is the smallest that the detector takes.
_LOWEST_SCORE = 0.001
_MOST_NAMES = 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `evaluate detector`, `latent`, `tracker` and `generation`.

    Args:
        parser: Parser of `robot_vision evaluate`.
    """
    products = parser.add_subparsers(dest="product", required=True, metavar="PRODUCT")
    _configure_detector(products.add_parser("detector", help=_DETECTOR, description=_DETECTOR))
    _configure_latent(products.add_parser("latent", help=_LATENT, description=_LATENT))
    _configure_tracker(products.add_parser("tracker", help=_TRACKER, description=_TRACKER))
    generation = products.add_parser("generation", help=_GENERATION, description=_GENERATION)
    evaluate_generation.configure(generation)
    _add_options(generation, SessionParams, _SESSION_OPTIONS)
    for product in products.choices.values():
        product.add_argument(
            "--baseline",
            type=Path,
            metavar="REPORT",
            help="report.json of an earlier run; exit status 1 if a figure fell",
        )
        product.add_argument(
            "--margin", type=_score, default=0.01, help="how far a figure may fall below the baseline (default 0.01)"
        )


def _configure_detector(detector: argparse.ArgumentParser) -> None:
    detector.add_argument("model", help="shipped model's name, or path of an ONNX file")
    detector.add_argument(
        "--data", type=Path, required=True,
        help="labelled images: COCO or YOLO folder or file, or a bag with a topic named ground_truth",
    )  # fmt: skip
    detector.add_argument("--out", type=Path, required=True, help="folder for the report")
    detector.add_argument(
        "--score", type=_score, help="smallest score in the confusion matrix; that of the best F1 if not given"
    )
    detector.add_argument("--worst", type=_count, default=9, help="most images on the sheet of the worst (default 9)")
    for params_type, names in ((SessionParams, _SESSION_OPTIONS), (DetectorParams, _DETECTOR_OPTIONS)):
        _add_options(detector, params_type, names)


def _configure_latent(latent: argparse.ArgumentParser) -> None:
    latent.add_argument(
        "models", nargs="+", metavar="model", help="shipped model's name, or path of a card or an ONNX file"
    )
    latent.add_argument(
        "--data", type=Path, nargs="+", required=True,
        help="frames: COCO or YOLO folders or files, bags with or without a topic named ground_truth, videos",
    )  # fmt: skip
    latent.add_argument(
        "--novel", type=Path, nargs="+", default=[], help="frames, as for --data, that the encoder should find novel"
    )
    latent.add_argument("--out", type=Path, required=True, help="folder for the report")
    latent.add_argument("--every", type=whole_number, default=1, metavar="K", help="take every K-th frame (default 1)")
    _add_options(latent, SessionParams, _SESSION_OPTIONS)


def _configure_tracker(tracker: argparse.ArgumentParser) -> None:
    add_sequences(tracker)
    tracker.add_argument("--every", type=whole_number, default=1, metavar="K", help="take every K-th frame (default 1)")
    tracker.add_argument("--out", type=Path, required=True, help="folder for the report")
    for setting in tracker_numbers().values():
        _add_option(tracker, setting)


def _add_options(parser: argparse.ArgumentParser, params_type: type[StageParams], names: Sequence[str]) -> None:
    for setting in settings(params_type):
        if setting.name in names:
            _add_option(parser, setting)


def _add_option(parser: argparse.ArgumentParser, setting: Setting) -> None:
    option, text = f"--{setting.name.replace('_', '-')}", f"{setting.description} (default {setting.default})"
    if setting.kind is bool:
        parser.add_argument(option, action="store_true", help=text)
        return
    choices = setting.choices or None
    parser.add_argument(option, type=setting.kind, default=setting.default, choices=choices, help=text)


def run(args: argparse.Namespace) -> int:
    """Evaluate what was asked for.

    Args:
        args: Parsed command line.

    Returns:
        Exit status.

    Raises:
        MissingDependencyError: If a package that only evaluation needs is not installed.
        RobotVisionError: If the network, the labels or a setting is wrong, or they do not fit each other.
    """
    for name in _NEEDED[args.product]:
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(f"evaluation needs {_PACKAGES.get(name, name)}; install it with: make setup")
    products = {"detector": _evaluate_detector, "latent": _evaluate_latent, "tracker": _evaluate_tracker,
                "generation": _evaluate_generation}  # fmt: skip
    if args.baseline is None:
        return products[args.product](args)
    from robot_vision.evaluation.baseline import falls, read_report  # noqa: PLC0415

    # Read first: the report may be written over it.
    before = read_report(args.baseline)
    status = products[args.product](args)
    fallen = falls(read_report(args.out / "report.json"), before, args.margin)
    for fall in fallen:
        print(f"fell: {fall}")
    print(f"{len(fallen)} of {len(before)} figures of {args.baseline} fell by more than {args.margin:g}")
    return 1 if fallen else status


def _evaluate_detector(args: argparse.Namespace) -> int:
    from robot_vision.data.labelled_sets import open_labelled  # noqa: PLC0415
    from robot_vision.detection.yolo import Detector  # noqa: PLC0415
    from robot_vision.evaluation import detector_report  # noqa: PLC0415
    from robot_vision.evaluation.common_classes import common_classes  # noqa: PLC0415
    from robot_vision.runtime.card import load_card  # noqa: PLC0415

    chosen = {name: getattr(args, name) for name in (*_DETECTOR_OPTIONS, *_SESSION_OPTIONS)}
    own = {name: chosen[name] for name in _DETECTOR_OPTIONS}
    params = DetectorParams(model=args.model, confidence_threshold=_LOWEST_SCORE, **own)
    session_params = SessionParams(**{name: chosen[name] for name in _SESSION_OPTIONS})
    detector = Detector(load_card(args.model), session_params, params)
    images = open_labelled(args.data, "val")
    common = common_classes(images.class_names, detector.class_names)
    notes = [*images.notes, *_left_out(common)]
    print("".join(f"{note}\n" for note in notes), end="")
    truth, found = _compared(detector, images, common)
    report = detector_report.evaluate_detector(images.titles, truth, found, common.names, args.score)
    facts = {
        "model": detector.card.name, "sha256": detector.card.sha256, "data": str(args.data),
        "images": str(len(truth)), "device": detector.session.device,
        **{name: str(value) for name, value in chosen.items()},
    }  # fmt: skip
    written = detector_report.write_detector_report(report, images, args.out, facts, notes, args.worst)
    print(f"\n{detector_report.main_table(report)}\n\nwrote {', '.join(map(str, written))}")
    return 0


def _evaluate_latent(args: argparse.Namespace) -> int:
    from robot_vision.cli.evaluate_latent import evaluate_latent  # noqa: PLC0415

    return evaluate_latent(args, SessionParams(**{name: getattr(args, name) for name in _SESSION_OPTIONS}))


def _evaluate_generation(args: argparse.Namespace) -> int:
    return evaluate_generation.evaluate_generation(
        args, SessionParams(**{name: getattr(args, name) for name in _SESSION_OPTIONS})
    )


def _evaluate_tracker(args: argparse.Namespace) -> int:
    from robot_vision.evaluation.sequences import evaluate_sequence  # noqa: PLC0415
    from robot_vision.evaluation.tracker_report import tracker_table, write_tracker_report  # noqa: PLC0415

    chosen = {name: getattr(args, name) for name in tracker_numbers()}
    params = TrackerParams(**chosen)
    sequences = [sequence.thinned(args.every) for sequence in chosen_sequences(args)]
    figures = [evaluate_sequence(sequence, params) for sequence in tqdm(sequences, unit="sequence")]
    facts = {
        "second halves": str(args.val), "every": str(args.every), "seed": str(args.seed),
        **{name: str(value) for name, value in chosen.items()},
    }  # fmt: skip
    written = write_tracker_report(figures, args.out, facts)
    print(f"\n{tracker_table(figures)}\n\nwrote {', '.join(map(str, written))}")
    return 0


def _left_out(common: CommonClasses) -> list[str]:
    left_out = (
        (common.labels_only, "labels of classes that the network does not have are left out"),
        (common.network_only, "findings of classes that the labels do not have are left out"),
    )
    return [f"{text}: {_listed(names)}" for names, text in left_out if names]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _compared(
    detector: Detector, images: LabelledSet, common: CommonClasses
) -> tuple[list[LabelledBoxes], list[Detections]]:
    truth, found = [], []
    for image in tqdm(images.images(), total=images.count, desc=detector.card.name, unit="image"):
        truth.append(common.labelled(image.truth))
        found.append(common.found(detector.detect(Frame(image.rgb, 0, ""))))
    return truth, found


def _score(text: str) -> float:
    """A score in [0, 1].

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no score; write a number from 0 to 1")
    return value


def _count(text: str) -> int:
    """A whole number that is not negative.

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of images")
    return int(text)
