"""One network in the layouts of many authors is the same encoder to the last bit."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18
from torchvision.transforms.functional import normalize

from sslbench.errors import WeightsError
from sslbench.nn import EncoderConfig
from sslbench.nn.digest import tensors_digest
from sslbench.weights import adopt, read_tensors

VIT = {
    "name": "vit_tiny_patch16_224",
    "options": {"embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 32, "patch_size": 8},
    "stem": "imagenet",
}


def digest(encoder):
    return tensors_digest(encoder.state_dict())


def test_every_layout_gives_the_same_encoder_from_a_file(layout, encoder, tensors, taken, tmp_path):
    lay, prefix = layout
    torch.save(lay(tensors), tmp_path / "file.pth.tar")
    adopted = taken(read_tensors(tmp_path / "file.pth.tar"))
    assert adopted.prefix == prefix
    assert digest(adopted.encoder) == digest(encoder)
    assert (adopted.loaded, adopted.missing) == (
        sum(not n.endswith("num_batches_tracked") for n in tensors),
        (),
    )


def test_what_is_not_the_encoders_is_told(encoder, tensors, taken, layouts):
    file = flat(layouts["moco"](tensors))
    adopted = taken(file)
    assert adopted.others == ("state_dict.module.encoder_k.",)
    assert adopted.unexpected == tuple(
        f"state_dict.module.encoder_q.fc.{n}" for n in ("0.weight", "0.bias", "2.weight", "2.bias")
    )
    assert adopted.elsewhere == len(file) - len(tensors) - 4


def flat(tree, place=""):
    if isinstance(tree, torch.Tensor):
        return {place: tree}
    items = tree.items() if isinstance(tree, dict) else ()
    return {
        name: tensor
        for key, value in items
        for name, tensor in flat(value, f"{place}.{key}" if place else str(key)).items()
    }


@pytest.mark.parametrize("prefix", ["encoder_k.", "encoder_k", "state_dict.module.encoder_k."])
def test_a_prefix_chooses_another_network_of_the_file(prefix, tensors, taken, layouts):
    adopted = taken(flat(layouts["moco"](tensors)), prefix=prefix)
    assert adopted.prefix == "state_dict.module.encoder_k."
    assert torch.equal(adopted.encoder.network.conv1.weight, tensors["conv1.weight"].flip(0))


def test_a_prefix_that_is_not_there_is_refused_and_the_best_are_named(tensors, taken, layouts):
    with pytest.raises(WeightsError, match=r"encoder_z.*encoder_q\.'"):
        taken(flat(layouts["moco"](tensors)), prefix="encoder_z")
    with pytest.raises(WeightsError, match="--prefix ''"):
        taken(flat(layouts["moco"](tensors)), prefix="")


def test_two_networks_that_fit_equally_are_not_guessed_between(tensors, taken):
    other = {f"right.{n}": t + 1 if t.is_floating_point() else t for n, t in tensors.items()}
    file = {f"left.{n}": t for n, t in tensors.items()} | other
    with pytest.raises(WeightsError, match=r"2 networks fit equally well: 'left\.', 'right\.'"):
        taken(file)
    assert taken(file, prefix="right").prefix == "right."


def test_one_network_under_two_names_is_no_question(tensors, taken):
    file = {f"model.backbone.{n}": t for n, t in tensors.items()}
    file |= {f"backbone.{n}": t for n, t in tensors.items()}
    adopted = taken(file)
    assert (adopted.prefix, adopted.others) == ("backbone.", ("model.backbone.",))


def test_a_whole_copy_is_taken_before_a_query_encoder_with_a_hole(tensors, taken, layouts):
    file = flat(layouts["moco"](tensors))
    del file["state_dict.module.encoder_q.layer2.0.conv1.weight"]
    assert taken(file).prefix == "state_dict.module.encoder_k."


def test_a_sequence_without_pooling_is_found_too(encoder, tensors, taken):
    """As in SimCLR ports for small images: conv1, bn1, then ReLU or nothing, then the stages."""
    for first in (2, 3):
        places = {"conv1": 0, "bn1": 1} | {f"layer{n}": first + n - 1 for n in range(1, 5)}
        file = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            file[f"f.{places[part]}.{rest}"] = tensor
        adopted = taken(file)
        assert adopted.prefix == "f."
        assert digest(adopted.encoder) == digest(encoder)


def test_torchvisions_own_network_gives_the_features_that_torchvision_computes():
    """Its own class and its children in a row, as lightly's examples build them."""
    torch.manual_seed(0)
    theirs = resnet18(weights=None)
    theirs(torch.randn(4, 3, 64, 64))  # running statistics of its own
    theirs.eval()
    images = torch.rand(2, 3, 64, 64)
    row = torch.nn.Sequential(*list(theirs.children())[:-1])
    config = EncoderConfig(name="resnet18")
    for module, prefix in ((theirs, ""), (torch.nn.ModuleDict({"backbone": row}), "backbone.")):
        adopted = adopt(module.state_dict(), config)
        assert adopted.prefix == prefix
        with torch.no_grad():
            expected = row(normalize(images, config.mean, config.std)).flatten(1)
            assert torch.allclose(adopted.encoder.eval()(images), expected, atol=1e-5)


def test_a_vision_transformer_is_found_in_dinos_layout(make, bare, layouts):
    encoder = make(**VIT)
    file = flat(layouts["dino"](bare(encoder)))
    adopted = adopt(file, encoder.config)
    assert adopted.prefix == "teacher.module.backbone."
    assert digest(adopted.encoder) == digest(encoder)


def test_two_towers_are_found_in_our_layout_and_in_cmcs(make, bare, tmp_path):
    encoder = make(name="resnet18", input="lab_split")
    save_file(encoder.state_dict(), tmp_path / "encoder.safetensors")
    ours = read_tensors(tmp_path / "encoder.safetensors")
    swapped = {
        "model.encoder.module." + n.replace("lightness", "l_to_ab").replace("colour", "ab_to_l"): t
        for n, t in bare(encoder).items()
    } | {f"model.encoder.module.{n}.fc.weight": torch.ones(8, 32) for n in ("l_to_ab", "ab_to_l")}
    for file in (ours, swapped):
        assert digest(adopt(file, encoder.config).encoder) == digest(encoder)
    assert adopt(ours, encoder.config).unexpected == ()


def test_a_group_norm_encoder_is_found(make, bare):
    encoder = make(norm="group")
    assert digest(adopt(bare(encoder), encoder.config).encoder) == digest(encoder)
