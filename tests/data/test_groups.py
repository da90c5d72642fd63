"""ImageNet's upper levels against the synsets that timm lists, and how a data set names them."""

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sslbench.config import fingerprint
from sslbench.data.datasets import check_dataset, open_dataset
from sslbench.data.groups import members_of
from sslbench.data.readers.source import level_labels
from sslbench.data.spec import DatasetSpec, dataset_spec

INFO = resources.files("timm.data").joinpath("_info")
SYNSETS = INFO.joinpath("imagenet_synsets.txt").read_text().split()
LINES = INFO.joinpath("imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
WORDS = {synset: words.split(", ")[0] for synset, words in (line.split("\t") for line in LINES)}
TABLE = members_of("wordnet-3.0", "here")
GROUP_OF = {synset: name for name, synsets in TABLE["group"].items() for synset in synsets}


def test_every_synset_is_in_exactly_one_group_and_every_group_in_one_kind() -> None:
    listed = [synset for synsets in TABLE["group"].values() for synset in synsets]
    assert sorted(listed) == sorted(SYNSETS)
    kinds = [group for groups in TABLE["kind"].values() for group in groups]
    assert sorted(kinds) == sorted(TABLE["group"])


def test_the_animals_are_the_first_398_synsets() -> None:
    animals = {s for group in TABLE["kind"]["animal"] for s in TABLE["group"][group]}
    assert animals == set(sorted(SYNSETS)[:398])


def test_the_dogs_are_the_118_synsets_from_chihuahua_to_mexican_hairless() -> None:
    dogs = [synset for synset in sorted(SYNSETS) if "n02085620" <= synset <= "n02113978"]
    assert (WORDS[dogs[0]], WORDS[dogs[-1]], len(dogs)) == ("Chihuahua", "Mexican hairless", 118)
    assert list(TABLE["group"]["dog"]) == dogs


@pytest.mark.parametrize(
    ("word", "group"),
    [
        ("tench", "fish"),
        ("sturgeon", "fish"),
        ("axolotl", "amphibian"),
        ("king snake", "snake"),
        ("triceratops", "other reptile"),
        ("king penguin", "aquatic bird"),
        ("bald eagle", "other bird"),
        ("tarantula", "other arthropod"),
        ("monarch", "insect"),
        ("jellyfish", "other invertebrate"),
        ("timber wolf", "other canine"),
        ("cheetah", "feline"),
        ("giant panda", "other carnivore"),
        ("zebra", "ungulate"),
        ("gorilla", "primate"),
        ("killer whale", "other mammal"),
        ("minivan", "wheeled vehicle"),
        ("airliner", "other conveyance"),
        ("oboe", "musical instrument"),
        ("cardigan", "clothing"),
        ("wardrobe", "furnishing"),
        ("toaster", "appliance"),
        ("mosque", "structure"),
        ("hammer", "implement"),
        ("beer bottle", "container"),
        ("volleyball", "equipment"),
        ("revolver", "other device"),
        ("umbrella", "other covering"),
        ("teddy", "other artifact"),
        ("pizza", "food"),
        ("strawberry", "food"),
        ("bolete", "plant or fungus"),
        ("volcano", "geological formation"),
        ("scuba diver", "anything else"),
    ],
)
def test_a_synset_is_where_its_name_says(word: str, group: str) -> None:
    (synset,) = [synset for synset in SYNSETS if WORDS[synset] == word]
    assert GROUP_OF[synset] == group


def test_a_table_never_changes_for_its_name_is_in_the_identity_of_data_sets() -> None:
    assert fingerprint(TABLE)[:16] == "367e08312c7e9641"


def test_imagenet_has_three_levels_and_names_every_class_of_each() -> None:
    spec = dataset_spec("imagenet")
    names, labels = level_labels(spec, sorted(SYNSETS), spec.options["groups"])
    assert [len(level) for level in names] == [level.classes for level in spec.levels]
    assert [len(np.unique(column)) for column in labels.T] == [1000, 33, 3]
    place = sorted(SYNSETS).index("n02504458")  # African elephant
    assert [level[k] for level, k in zip(names, labels[place], strict=True)] == [
        "n02504458",
        "other mammal",
        "animal",
    ]


def _folders(root: Path, **changes: Any) -> DatasetSpec:
    """Two birds and a car, three images each."""
    for split in ("train", "test"):
        for synset in ("n01514668", "n01518878", "n02814533"):
            place = root / "few" / split / synset
            place.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (8, 8)).save(place / f"{split}{number}.png")
    tree = {
        "source": "folder",
        "folder": "few",
        "levels": [{"name": "synset", "classes": 3}, {"name": "kind", "classes": 3}],
        "splits": {"train": 9, "test": 9},
        "options": {"groups": "wordnet-3.0"},
        **changes,
    }
    return dataset_spec("few", {"few": tree})


def test_folders_of_synsets_take_their_upper_levels_from_a_table_by_name(tmp_path: Path) -> None:
    levels = [{"name": name, "classes": n} for name, n in (("synset", 3), ("group", 33))]
    data = open_dataset(_folders(tmp_path, levels=levels), tmp_path)
    found = [data.class_names(1)[k] for k in data.labels("test")[::3, 1]]
    assert found == ["other bird", "other bird", "wheeled vehicle"]


def test_a_level_may_be_of_groups_only_if_the_level_below_is_there(tmp_path: Path) -> None:
    (fault,) = check_dataset(_folders(tmp_path), tmp_path)
    assert "options.groups.kind has no place for n01514668, n01518878, n02814533" in fault


def test_a_table_that_there_is_not_is_a_fault_that_names_those_there_are(tmp_path: Path) -> None:
    (fault,) = check_dataset(_folders(tmp_path, options={"groups": "wordnet"}), tmp_path)
    assert "options.groups: no table 'wordnet'. Known: wordnet-3.0" in fault


@pytest.mark.parametrize("name", ["cifar10", "cifar10-10k"])
def test_cifar10_tells_animals_from_vehicles(name: str) -> None:
    spec = dataset_spec(name)
    vehicles, animals = ["airplane", "automobile"], ["bird", "cat", "deer", "dog", "frog", "horse"]
    names = [*vehicles, *animals, "ship", "truck"]
    found, labels = level_labels(spec, names, spec.options["groups"])
    assert found[1] == ["animals", "vehicles"]
    assert labels[:, 1].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]
