"""The gallery as a whole: which pictures there are, and why others are not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sslbench.gallery import gallery
from sslbench.gallery.exhibits import MOST, select
from sslbench.report.picture import Picture
from sslbench.report.plots import save

OF_ALL = {
    "kernels",
    "augmented-views",
    "feature-maps",
    "activation-maps",
    "attention-maps",
    "retrieval",
    "embedding",
    "prototype-tree",
}


def drawn(picture: Picture, folder: Path) -> tuple[bytes, bytes]:
    png, svg = folder / f"{picture.name}.png", folder / f"{picture.name}.svg"
    save(picture.draw, png, svg)
    return png.read_bytes(), svg.read_bytes()


@pytest.mark.slow
def test_every_picture_is_drawn_and_says_what_it_shows(house: Any, tmp_path: Path) -> None:
    house.hang("moco", measured="objects_tiny")
    house.hang("dino", house.vit)
    house.cluster(house.hang("hcsc"))
    pictures, sentences = gallery(house.store, house.plan, None)
    assert {picture.name for picture in pictures} == OF_ALL
    assert not sentences
    for picture in pictures:
        png, svg = drawn(picture, tmp_path)
        with Image.open(tmp_path / f"{picture.name}.png") as image:
            assert min(image.size) > 200
            assert max(image.size) < 3000
        assert len(png) < 400_000
        assert b"<svg" in svg
        assert picture.title
        assert picture.caption.endswith(".")
        assert picture.alternative.endswith(".")
    retrieval = next(picture for picture in pictures if picture.name == "retrieval")
    said = "Scores on all test images of objects_tiny: Moco: knn top1 41.2 %."
    assert retrieval.alternative == said


@pytest.mark.parametrize("name", ["kernels", "activation-maps", "retrieval", "embedding"])
def test_the_same_encoders_give_the_same_bytes(house: Any, tmp_path: Path, name: str) -> None:
    house.hang("moco")
    made = []
    for number in range(2):
        pictures, _ = gallery(house.store, house.plan, None)
        (tmp_path / str(number)).mkdir()
        picture = next(one for one in pictures if one.name == name)
        made.append(drawn(picture, tmp_path / str(number)))
    assert made[0] == made[1]


def test_inputs_are_equal_as_long_as_encoders_data_and_titles_are(house: Any) -> None:
    house.hang("moco")
    house.cluster(house.hang("hcsc"))

    def inputs() -> dict[str, str]:
        return {one.name: one.inputs for one in gallery(house.store, house.plan, None)[0]}

    before = inputs()
    assert len(set(before.values())) == len(before)
    assert inputs() == before
    house.rows[0] = house.rows[0].model_copy(update={"title": "MoCo, renamed"})
    renamed = inputs()
    of_hcsc = {"prototype-tree"}
    assert {name for name in before if renamed[name] == before[name]} == of_hcsc
    manifest = house.store.manifest("hcsc-s0")
    assert manifest is not None
    changed = manifest.model_copy(update={"encoder_digest": "1" * 64})
    house.store.write_manifest(changed)
    assert inputs()["prototype-tree"] != renamed["prototype-tree"]


def test_asking_for_pictures_reads_no_image_and_runs_no_encoder(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hang("moco")

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("too early")

    monkeypatch.setattr("sslbench.gallery.collection.open_dataset", refuse)
    monkeypatch.setattr("sslbench.gallery.collection.Encoder", refuse)
    assert len(gallery(house.store, house.plan, None)[0]) == len(OF_ALL) - 2


def test_importing_the_gallery_imports_no_torch() -> None:
    code = "import sys, sslbench.gallery; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_records_without_encoders_give_the_views_and_say_what_is_missing(house: Any) -> None:
    (house.hang("moco") / "encoder.safetensors").unlink()
    pictures, sentences = gallery(house.store, house.plan, None)
    assert [picture.name for picture in pictures] == ["augmented-views"]
    assert len(sentences) == 1
    assert sentences[0].startswith("No encoder of this suite is in the results folder")


def test_a_suite_without_runs_gives_a_sentence_and_no_error(house: Any) -> None:
    house.hang("moco")
    (house.store.run_folder("moco-s0") / "manifest.json").unlink()
    assert gallery(house.store, house.plan, None)[0] == []
    house.rows = []
    assert gallery(house.store, house.plan, None) == ([], [])


def test_an_encoder_that_is_not_here_is_named_and_the_others_are_shown(house: Any) -> None:
    house.hang("moco")
    (house.hang("byol") / "encoder.safetensors").unlink()
    pictures, sentences = gallery(house.store, house.plan, None)
    assert "kernels" in {picture.name for picture in pictures}
    assert "Not in the pictures, because their encoders are not here: Byol." in sentences


def test_a_damaged_encoder_is_named_and_the_others_are_shown(house: Any) -> None:
    house.hang("moco")
    path = house.hang("byol") / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    pictures, sentences = gallery(house.store, house.plan, None)
    kernels = next(picture for picture in pictures if picture.name == "kernels")
    assert "Moco" in kernels.alternative
    assert "Byol" not in kernels.alternative
    assert any("Byol (seed 0) is in no picture" in said for said in sentences)


def test_without_the_data_set_there_are_kernels_and_a_sentence(house: Any) -> None:
    house.hang("moco", dataset="cifar10")
    pictures, sentences = gallery(house.store, house.plan, None)
    assert [picture.name for picture in pictures] == ["kernels"]
    assert "No pictures of images of cifar10" in sentences[0]


def test_a_data_set_for_detection_has_maps_but_no_neighbours(house: Any, tmp_path: Path) -> None:
    house.hang("moco", dataset="canvases_tiny")
    pictures, sentences = gallery(house.store, house.plan, None)
    names = {picture.name for picture in pictures}
    assert names == {"kernels", "augmented-views", "feature-maps", "activation-maps"}
    for picture in pictures:
        drawn(picture, tmp_path)
    assert len([said for said in sentences if "have not one class each" in said]) == 2


def test_an_encoder_from_a_file_is_shown_on_what_it_was_measured_on(
    house: Any, tmp_path: Path
) -> None:
    house.hang("released", trained=False, measured="objects_tiny")
    pictures, sentences = gallery(house.store, house.plan, None)
    names = {picture.name for picture in pictures}
    assert names == OF_ALL - {"augmented-views", "attention-maps", "prototype-tree"}
    drawn(next(one for one in pictures if one.name == "retrieval"), tmp_path)
    assert any("nothing of this suite was trained here" in said for said in sentences)


def test_eight_rows_are_shown_at_most_and_one_of_every_family_first(house: Any) -> None:
    families = ["clustering"] * 8 + ["momentum", "momentum", "end-to-end"]
    for number, family in enumerate(families):
        house.hang(f"method{number:02}", family=family)
    house.hang("random")
    house.hang("method00", seed=1, family="clustering")
    found = select(house.store, house.plan)
    shown = [one.title for one in found.exhibits]
    assert len(shown) == MOST
    assert {"Method00", "Method08", "Method10", "Random"} < set(shown)
    assert shown == sorted(shown)  # the plan's order
    assert "show 8 of 12 rows" in found.sentences[0]
    assert len(found.everyone) == 12
    assert found.exhibits[0].manifest.run == "method00-s0"


def test_rows_of_one_title_are_told_apart_by_their_labels(house: Any) -> None:
    for label in ("hcsc", "hcsc@one-level", "moco"):
        house.hang(label)
    house.rows[1] = house.rows[1].model_copy(update={"title": "Hcsc"})
    assert [one.title for one in select(house.store, house.plan).exhibits] == [
        "hcsc",
        "hcsc@one-level",
        "Moco",
    ]
