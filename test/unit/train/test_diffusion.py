"""The whole command on tiny data sets: what it writes is what the generator reads, and a run can be taken up again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from coco_shapes import write_shapes
from frame_bags import patches, write_frames

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")
pytest.importorskip("onnx", reason="needs onnx: run `make train-env`")
pytest.importorskip("matplotlib", reason="needs matplotlib: run `make train-env`")

from train_command import run_training  # noqa: E402

from robot_vision.cli.main import main  # noqa: E402
from robot_vision.errors import BagError, InvalidValueError, ModelError  # noqa: E402
from robot_vision.generation.diffusion import DiffusionGenerator  # noqa: E402
from robot_vision.generation.request import GenerationRequest  # noqa: E402
from robot_vision.params import SessionParams  # noqa: E402
from robot_vision.runtime.card import load_card  # noqa: E402
from robot_vision.train import diffusion  # noqa: E402

TINY = ["--out", "models", "--work", "work", "--threads", "1", "--size-px", "32", "--width", "8", "--batch-size", "6"]
SHORT = ["--autoencoder-epochs", "1", "--epochs", "2", "--sample-every", "2"]


def train(folder, *words):
    run_training(diffusion, folder, *TINY, *words)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    write_shapes(folder / "shapes", 12)
    train(folder, "--data", "shapes", "--name", "shapes", *SHORT)
    return folder


@pytest.fixture(scope="module")
def generator(trained):
    return DiffusionGenerator(load_card(trained / "models" / "shapes.yaml"), SessionParams(provider="cpu"))


def test_the_generator_reads_what_was_written(generator):
    assert generator.class_names == ("ball", "box")
    assert generator.defaults.size_wh == (32, 32)
    request = GenerationRequest("a red box and a green ball", 1, 3, 2.0, (32, 32), count=3)
    images = list(generator.run(request))[-1].images()
    assert images.shape == (3, 32, 32, 3)
    assert len({image.tobytes() for image in images}) == 3


def test_colours_come_from_the_pixels_of_unlabelled_colour(trained):
    """The shapes' labels say nothing of colours; the words were still learnt, as every caption had to be numbered."""
    words = load_card(trained / "models" / "shapes.yaml").diffusion.words
    assert {"red", "green", "ball", "box", "and"} <= set(words)
    assert "two" not in words, "no image shows two of a class"


def test_curves_and_a_sheet_of_samples_are_drawn(trained):
    assert {"shapes.pt", "shapes_curves.png", "shapes_samples_002.png"} <= {
        p.name for p in (trained / "work").iterdir()
    }


def test_a_resumed_run_gives_the_same_weights(trained, tmp_path):
    write_shapes(tmp_path / "shapes", 12)
    words = ["--data", "shapes", "--name", "shapes", "--autoencoder-epochs", "1", "--sample-every", "2"]
    stopped = pytest.MonkeyPatch()

    def stop(fit, *_):
        if fit.epochs_done == 2:
            raise KeyboardInterrupt

    stopped.setattr(diffusion, "_draw_curves", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *words, "--epochs", "2")
    stopped.undo()
    train(tmp_path, *words, "--epochs", "2", "--resume")
    for name in ("shapes.onnx", "shapes_encoder.onnx", "shapes_decoder.onnx"):
        assert (tmp_path / "models" / name).read_bytes() == (trained / "models" / name).read_bytes()


def test_a_run_begun_on_a_gpu_is_taken_up_on_the_cpu(trained, tmp_path):
    """There the optimiser's step is captured, and its learning rate is a tensor."""
    shutil.copytree(trained / "shapes", tmp_path / "shapes")
    (tmp_path / "work").mkdir()
    state = torch.load(trained / "work" / "shapes.pt", weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        group["capturable"], group["lr"] = True, torch.tensor(group["lr"])
    torch.save(state, tmp_path / "work" / "shapes.pt")
    words = ["--data", "shapes", "--name", "shapes", "--autoencoder-epochs", "1", "--epochs", "3", "--resume"]
    train(tmp_path, *words)
    assert len(torch.load(tmp_path / "work" / "shapes.pt", weights_only=True)["history"]) == 4


def test_a_checkpoint_of_other_settings_or_images_is_refused(trained, tmp_path):
    shutil.copytree(trained / "shapes", tmp_path / "shapes")
    shutil.copytree(trained / "work", tmp_path / "work")
    with pytest.raises(ModelError, match=r"was started with .*seed=0; resume with the same"):
        train(tmp_path, "--data", "shapes", "--name", "shapes", *SHORT, "--resume", "--seed", "3")
    content = json.loads((tmp_path / "shapes" / "annotations.json").read_text())
    content["categories"][0]["name"] = "globe"
    (tmp_path / "shapes" / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="was started with words="):
        train(tmp_path, "--data", "shapes", "--name", "shapes", *SHORT, "--resume")


def test_a_checkpoint_of_another_size_is_refused(trained, tmp_path):
    shutil.copytree(trained / "shapes", tmp_path / "shapes")
    shutil.copytree(trained / "work", tmp_path / "work")
    with pytest.raises(ModelError, match="was started with size_px=32"):
        train(tmp_path, "--data", "shapes", "--name", "shapes", *SHORT, "--resume", "--size-px", "48")


def test_images_without_labels_need_a_detector(tmp_path):
    write_frames(tmp_path / "bag", [np.full((30, 40, 3), 90, np.uint8)] * 4)
    with pytest.raises(InvalidValueError, match=r"caption_model: .* has no labels"):
        train(tmp_path, "--data", "bag", "--caption-model", "", *SHORT)


def test_a_bag_is_captioned_by_its_ground_truth(tmp_path):
    images = list(patches(8, (40, 30)))
    write_frames(tmp_path / "bag", images, boxes=[[(4, 4, 20, 20)]] * 8)
    train(tmp_path, "--data", "bag", "--name", "bag", "--autoencoder-epochs", "1", "--epochs", "1")
    assert load_card(tmp_path / "models" / "bag.yaml").diffusion.class_names == ("ball",)


def test_images_that_show_nothing_to_name_are_refused(tmp_path):
    write_frames(tmp_path / "bag", [np.full((30, 40, 3), 90, np.uint8)] * 4)
    with pytest.raises(BagError, match="no image shows an object that a caption could name"):
        train(tmp_path, "--data", "bag", *SHORT)


def test_it_can_be_evaluated(trained, tmp_path, capsys):
    """Prompts over all classes, two ways of sampling, an encoder's prior beside them: the report has them all."""
    captioned = shutil.copytree(trained / "shapes", tmp_path / "captioned")
    content = json.loads((captioned / "annotations.json").read_text())
    for picture in content["images"]:
        picture["place"] = ""
    for row in content["annotations"]:
        row["colour"] = {3: "red", 7: "green"}[row["category_id"]]
    (captioned / "annotations.json").write_text(json.dumps(content))
    words = ["evaluate", "generation", trained / "models" / "shapes.yaml", "--data", captioned, "--out", tmp_path / "r"]
    options = ["--count", "6", "--distance-count", "6", "--samplers", "dpmpp_2m:2", "ddim:3"]
    assert main([*map(str, words), *options, "--beside", "reach_vae_encoder", "--provider", "cpu"]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert set(report["answers"]) == {"ball", "box", "all"}
    assert set(report["distances"]) == {"floor", "dpmpp_2m:2", "ddim:3", "reach_vae_encoder"}
    assert all(value > report["distances"]["floor"] for name, value in report["distances"].items() if name != "floor")
    assert "right count" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--epochs", "0", "epochs: must be greater than 0"),
        ("--width", "12", "width: must be a positive multiple of 8"),
        ("--size-px", "40", "size_px: must be a positive multiple of 16"),
        ("--no-prompt", "1.5", "no_prompt: must be within"),
        ("--timesteps", "3", "timesteps: must be within"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(tmp_path, option, value, problem):
    with pytest.raises(InvalidValueError, match=problem):
        train(tmp_path, "--data", "nowhere", option, value)
