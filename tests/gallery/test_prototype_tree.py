"""A hierarchy of clusters out of a checkpoint, and the part of it that is drawn."""

from typing import Any

import numpy as np
import pytest

from sslbench.errors import StoreError
from sslbench.gallery import gallery
from sslbench.gallery.hierarchy import BRANCHES, is_nested, largest_trees, nested_clusterings
from sslbench.gallery.prototype_tree import prototype_tree
from sslbench.report.picture import Picture
from sslbench.train.outcome import run_checkpoints


def test_clusterings_are_found_whatever_a_method_calls_them(house: Any) -> None:
    folder = house.hang("hcsc")
    clusters = house.cluster(folder)
    manifest = house.store.manifest("hcsc-s0")
    found = nested_clusterings(run_checkpoints(folder, manifest.hash))
    assert found is not None
    assert found.tolist() == clusters.assignment.tolist()


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(house: Any) -> None:
    folder = house.hang("hcsc")
    house.cluster(folder)
    path = folder / "checkpoint.pt"
    with pytest.raises(StoreError, match=r"belongs to format \d, run"):
        nested_clusterings(run_checkpoints(folder, "other"))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(StoreError, match="damaged"):
        nested_clusterings(run_checkpoints(folder, house.store.manifest("hcsc-s0").hash))
    pictures, sentences = gallery(house.store, house.plan, None)
    assert "prototype-tree" not in {picture.name for picture in pictures}
    assert any("No tree of prototypes" in said and "damaged" in said for said in sentences)


def test_independent_clusterings_are_no_tree(house: Any) -> None:
    house.cluster(house.hang("pcl"), nested=False)
    said = prototype_tree(house.collection())
    assert said == "No tree of prototypes: the clusters of Pcl are not nested."


def test_a_tree_is_found_behind_the_rows_that_are_shown(house: Any) -> None:
    for number in range(8):
        house.hang(f"method{number}")
    house.cluster(house.hang("hcsc"))
    picture = prototype_tree(house.collection())
    assert isinstance(picture, Picture)
    assert picture.title == "Prototypes of Hcsc as a tree"


def test_without_its_checkpoint_a_tree_cannot_be_drawn(house: Any) -> None:
    folder = house.hang("hcsc")
    house.cluster(folder)
    (folder / "checkpoint.pt").unlink()
    said = prototype_tree(house.collection())
    assert said == "No tree of prototypes: the checkpoint of Hcsc is not here."


def test_nested_means_that_a_cluster_lies_in_one_of_the_next_level() -> None:
    assert is_nested(np.array([[0, 0, 1, 2], [0, 0, 1, 1]]))
    assert not is_nested(np.array([[0, 0, 1, 2], [0, 1, 1, 1]]))
    assert not is_nested(np.array([[0, 0, 1, 2]]))
    assert not is_nested(np.zeros((3, 5), np.int64))  # before the first clustering


def test_the_trees_with_most_branches_are_shown_with_their_largest() -> None:
    # Root 0 has one branch of 50 images; root 1 five of 5, 4, 3, 2 and 1; root 2 two of 2 and 6.
    sizes = {0: [50], 1: [5, 4, 3, 2, 1], 2: [2, 6]}
    below, above, cluster = [], [], 0
    for root, branches in sizes.items():
        for size in branches:
            below += [cluster] * size
            above += [root] * size
            cluster += 1
    trees = largest_trees(np.array([below, above]))
    assert [len(tree.members) for tree in trees] == [15, 8, 50]
    assert [tree.branches for tree in trees] == [5, 2, 1]
    assert [[len(child.members) for child in tree.children] for tree in trees] == [
        [5, 4, 3],
        [6, 2],
        [50],
    ]
    assert [tree.leaves for tree in trees] == [3, 2, 1]
    assert len(trees) == BRANCHES


def test_a_nodes_children_have_its_images(house: Any) -> None:
    clusters = house.cluster(house.hang("hcsc"))
    for tree in largest_trees(clusters.assignment.numpy()):
        for node in tree.all():
            inside = set(node.members.tolist())
            assert all(set(child.members.tolist()) <= inside for child in node.children)
            assert (node.level == 0) == (not node.children)


def test_what_a_node_is_said_to_be_is_counted(house: Any) -> None:
    house.cluster(house.hang("hcsc"))
    collection = house.collection()
    picture = prototype_tree(collection)
    assert isinstance(picture, Picture)
    words = [text.get_text() for text in picture.draw().axes[0].texts]
    [one] = collection.exhibits
    found = nested_clusterings(run_checkpoints(one.folder, one.manifest.hash))
    assert found is not None
    root = largest_trees(found)[0]
    labels = collection.dataset.labels("train")[root.members, 2].tolist()
    kingdom = max(sorted(set(labels)), key=labels.count)
    share = 100 * labels.count(kingdom) / len(labels)
    name = collection.dataset.class_names(2)[kingdom]
    assert f"{len(labels)} images, {share:.0f} % {name}" in words
    nodes = [node for tree in largest_trees(found) for node in tree.all()]
    hidden = [f"3 of {one.branches} branches" for one in nodes if one.branches > BRANCHES]
    assert hidden
    assert sorted(word for word in words if word.endswith("branches")) == sorted(hidden)
