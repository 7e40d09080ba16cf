"""`robot_vision evaluate latent`: from encoders and frames to a report, with the shipped encoder and the sample bag."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from robot_vision.cli.main import main
from robot_vision.data.sources import open_source
from robot_vision.latent.encoder import Encoder
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.runtime.card import load_card

ROOT = Path(__file__).resolve().parents[3]
SAMPLE, OTHER = (ROOT / "samples" / name for name in ("simworld_handheld", "simworld_uav"))
SHIPPED = "simworld_vae_encoder"
PAGES = {
    "reconstructions.png", "interpolations.png", "samples.png", "traversals_1.png", "maps.png", "dimensions.png",
}  # fmt: skip
PACKAGES = {"matplotlib": "matplotlib", "skimage": "scikit-image", "sklearn": "scikit-learn"}


def needs_packages() -> None:
    for module, name in PACKAGES.items():
        pytest.importorskip(module, reason=f"needs {name}: run `make setup`")


def no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


def evaluate(*words) -> int:
    return main(["evaluate", "latent", *map(str, words), "--provider", "cpu"])


def report_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "report.json").read_text(), parse_constant=no_constant)


def copied_card(folder: Path, **changes: object) -> Path:
    """The shipped encoder and decoder in a folder of their own; a change to None leaves a key of `latent` out."""
    for part in ("encoder", "decoder"):
        for suffix in (".onnx", ".yaml"):
            shutil.copy(ROOT / "models" / f"simworld_vae_{part}{suffix}", folder)
    path = folder / f"{SHIPPED}.yaml"
    card = yaml.safe_load(path.read_text())
    card["name"] = "own"
    for key, value in changes.items():
        card["latent"][key] = value
        if value is None:
            del card["latent"][key]
    path.write_text(yaml.safe_dump(card))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Every second frame of the sample, the shipped encoder beside a copy without decoder and log-variance."""
    needs_packages()
    folder = tmp_path_factory.mktemp("latent")
    bare = copied_card(folder, decoder=None, novelty=None)
    card = yaml.safe_load(bare.read_text())
    del card["output"]["log_variance"]
    bare.write_text(yaml.safe_dump(card))
    words = ["--data", SAMPLE, "--novel", OTHER, "--every", 2, "--out", folder / "new" / "out"]
    assert evaluate(SHIPPED, bare, *words) == 0
    return folder / "new" / "out"


def test_every_measure_is_in_the_report(run) -> None:
    """Files, pages and the two models side by side; figures lie where they can."""
    assert {path.name for path in run.iterdir()} == {*PAGES, "novelty.png", "report.md", "report.json"}
    shipped, bare = report_of(run)["models"]
    assert (shipped["name"], bare["name"]) == (SHIPPED, "own")
    images = shipped["reconstruction"]
    assert 10 < images["box_psnr_db"] < images["psnr_db"] < 30, "a plain VAE forgets objects first"
    assert 0 < images["box_ssim"] < images["ssim"] < 1
    assert 0 < shipped["smoothness"]["simworld_handheld"]["step_ratio"] < 0.5, "neighbours in time are close"
    assert shipped["smoothness"]["simworld_handheld"]["image_correlation"] > 0.5
    assert 0 <= shipped["novelty_auroc"] <= 1
    assert len(shipped["dimensions"]["kl"]) == len(shipped["dimensions"]["variance"]) == 32
    assert min(shipped["dimensions"]["kl"]) > 0
    assert shipped["distances"]["samples"] > 0
    assert shipped["clusters"] is None, "one recording is one kind of scene"
    assert all(min(cv2.imread(str(run / name)).shape[:2]) > 200 for name in PAGES)


def test_the_probes_find_what_the_handheld_camera_does(run) -> None:
    """The camera goes round the objects: the latent of a room must tell that better than the mean does."""
    report = report_of(run)
    assert report["probed"]["position of the camera"] == {"frames": 100, "axes": ["x", "y", "z"]}
    r2 = report["models"][0]["r2"]
    assert set(r2) == {"linear", "k-NN"}
    assert set(r2["linear"]) == set(r2["k-NN"]) == set(report["probed"])
    assert all(value > 0.3 for value in r2["linear"]["position of the camera"])
    assert max(value for values in r2["linear"].values() for value in values) <= 1


def test_the_same_latents_give_the_same_figures(run) -> None:
    """The copy has the same means; what it lacks is named, not zero."""
    shipped, bare = report_of(run)["models"]
    assert bare["r2"] == shipped["r2"]
    assert bare["smoothness"] == shipped["smoothness"]
    assert bare["dimensions"]["variance"] == shipped["dimensions"]["variance"]
    assert bare["dimensions"]["kl"] is bare["reconstruction"] is bare["distances"] is bare["novelty_auroc"] is None
    told = "\n".join(bare["gaps"])
    assert "names no decoder" in told
    assert "no log-variance" in told
    assert "novelty is not computed" in told
    assert shipped["gaps"] == []


def test_the_table_says_what_the_json_says(run) -> None:
    text = (run / "report.md").read_text()
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in text.splitlines()
            if line.startswith(("| simworld_vae_encoder", "| own")) and line.count("|") == 15}  # fmt: skip
    shipped = report_of(run)["models"][0]
    position = np.mean([
        value for name, values in shipped["r2"]["linear"].items() if "only" in name for value in values
    ])  # fmt: skip
    assert float(rows[SHIPPED][1]) == pytest.approx(shipped["reconstruction"]["psnr_db"], abs=0.006)
    assert float(rows[SHIPPED][5]) == pytest.approx(position, abs=0.0006)
    assert float(rows[SHIPPED][10]) == pytest.approx(shipped["novelty_auroc"], abs=0.0006)
    assert rows["own"][1:5] == ["-"] * 4
    assert all(f"]({name})" in text for name in PAGES)


def test_the_latents_are_those_of_the_encoder(run) -> None:
    """Mean of the first dimensions over the frames, encoded one by one here."""
    encoder = Encoder(load_card(SHIPPED), SessionParams(provider="cpu"), EncoderParams())
    means = [encoder.encode(frame).mean for frame in list(open_source(SAMPLE).frames())[::2]]
    figures = report_of(run)["models"][0]["dimensions"]
    np.testing.assert_allclose(figures["mean"], np.mean(means, axis=0), atol=1e-5)
    np.testing.assert_allclose(figures["variance"], np.var(means, axis=0), atol=1e-5)


def test_few_frames_leave_gaps_and_no_error(tmp_path) -> None:
    """Two frames: pictures, but neither probes nor smoothness; older pages are removed."""
    needs_packages()
    (tmp_path / "novelty.png").write_text("old")
    (tmp_path / "traversals_7.png").write_text("old")
    assert evaluate(SHIPPED, "--data", SAMPLE, "--every", 100, "--out", tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {*PAGES, "report.md", "report.json"}
    report = report_of(tmp_path)
    told = "\n".join([*report["notes"], *report["models"][0]["gaps"]])
    assert report["probed"] == {}
    assert "number of objects: not probed; known in 2 frames" in told
    assert "smoothness along simworld_handheld: not measured; 2 frames" in told
    assert "distance of samples from real frames: needs at least 50 frames" in told
    assert "give frames that are new to the encoder with --novel" in told


def test_a_network_of_another_task(tmp_path, capsys) -> None:
    needs_packages()
    assert evaluate("simworld_yolo", "--data", SAMPLE, "--out", tmp_path) == 1
    assert "expected a card of task latent_encoder, got detection" in capsys.readouterr().err


def test_a_decoder_that_is_missing_or_damaged(tmp_path, capsys) -> None:
    """Told before the frames are read."""
    needs_packages()
    card = copied_card(tmp_path)
    (tmp_path / "simworld_vae_decoder.onnx").write_bytes(b"damaged")
    assert evaluate(card, "--data", SAMPLE, "--out", tmp_path / "out") == 1
    assert "sha256 is" in capsys.readouterr().err
    (tmp_path / "simworld_vae_decoder.yaml").unlink()
    assert evaluate(card, "--data", SAMPLE, "--out", tmp_path / "out") == 1
    assert "simworld_vae_decoder.yaml: no such file" in capsys.readouterr().err


def test_mistakes_are_told(tmp_path, capsys) -> None:
    needs_packages()
    assert evaluate(SHIPPED, SHIPPED, "--data", SAMPLE, "--out", tmp_path) == 1
    assert "the same encoder is given twice" in capsys.readouterr().err
    assert evaluate(SHIPPED, "--data", tmp_path, "--out", tmp_path / "out") == 1
    assert "no labelled images" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert evaluate(SHIPPED, "--data", SAMPLE, "--every", 100, "--out", tmp_path / "file") == 1
    assert "the report cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("missing", PACKAGES)
def test_a_missing_package_is_named_before_any_work(missing, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    assert evaluate("nothing", "--data", "/nowhere", "--out", tmp_path) == 1
    assert f"evaluation needs {PACKAGES[missing]}; install it with: make setup" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--every", "0"], ["--every", "x"], ["--provider", "tpu"]])
def test_wrong_usage(words, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "latent", SHIPPED, "--data", str(SAMPLE), "--out", str(tmp_path), *words])
    assert stop.value.code == 2
    assert words[1] in capsys.readouterr().err
