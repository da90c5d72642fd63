"""What is refused, and what an older or coarser file still gives."""

import re

import pytest
import torch

from sslbench.errors import WeightsError
from sslbench.nn.config import EncoderConfig
from sslbench.nn.digest import tensors_digest
from sslbench.nn.encoder import Encoder
from sslbench.weights import adopt

COUNTER = "num_batches_tracked"


def test_a_file_with_a_tenth_missing_is_refused_unless_told(tensors, taken):
    file = {n: t for n, t in tensors.items() if not n.startswith("layer4.0.conv")}
    with pytest.raises(
        WeightsError, match=r"missing are layer4\.0\.conv1\.weight.*--allow-missing"
    ):
        taken(file)
    adopted = taken(file, allow_missing=True)
    assert adopted.missing == tuple(f"layer4.0.conv{n}.weight" for n in (1, 2, 3))
    assert adopted.loaded + 3 == adopted.total


def test_a_running_statistic_counts_as_a_tensor(tensors, taken):
    file = {n: t for n, t in tensors.items() if "running" not in n}
    with pytest.raises(WeightsError, match=r"running_mean"):
        taken(file)


def test_ninety_nine_hundredths_are_enough(make, bare):
    encoder = make(options={"layers": [2, 2, 2, 2], "channels": [4, 4, 4, 4]})
    file = bare(encoder)
    wanted = [n for n in file if not n.endswith(COUNTER)]
    assert len(wanted) > 100
    del file["layer4.1.bn3.bias"]
    assert adopt(file, encoder.config).missing == ("layer4.1.bn3.bias",)
    del file["layer4.1.bn2.bias"], file["layer4.1.bn1.bias"]
    with pytest.raises(WeightsError, match="99%"):
        adopt(file, encoder.config)


def test_what_is_missing_has_the_same_initial_values_in_every_call(tensors, taken):
    file = {n: t for n, t in tensors.items() if not n.startswith("layer4.")}
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = taken(file, allow_missing=True)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    other = taken(file, allow_missing=True)
    assert tensors_digest(one.encoder.state_dict()) == tensors_digest(other.encoder.state_dict())


def test_an_encoder_of_another_width_is_named_with_both_shapes(make, bare):
    wide = make(options={"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 128]})
    narrow = make()
    with pytest.raises(WeightsError, match="another width") as caught:
        adopt(bare(wide), narrow.config, allow_missing=True)
    assert "16 x 64 x 1 x 1, expected 8 x 64 x 1 x 1" in str(caught.value)


def test_another_stem_is_refused_although_one_tensor_alone_differs(make, bare):
    with pytest.raises(
        WeightsError, match=r"conv1\.weight 64 x 3 x 7 x 7, expected 64 x 3 x 3 x 3"
    ):
        adopt(bare(make(stem="imagenet")), make().config)


def test_a_deeper_encoder_is_refused_although_it_supplies_every_tensor(make, bare):
    deeper = make(options={"layers": [1, 1, 2, 1], "channels": [8, 16, 32, 64]})
    with pytest.raises(WeightsError, match=r"another depth or kind: layer3\.1\.conv1\.weight"):
        adopt(bare(deeper), make().config, allow_missing=True)


def test_of_a_deep_teacher_and_a_student_that_fits_the_student_is_taken(make, bare):
    deeper = make(options={"layers": [1, 1, 2, 1], "channels": [8, 16, 32, 64]})
    small = make()
    file = {f"teacher.{n}": t for n, t in bare(deeper).items()}
    file |= {f"student.{n}": t for n, t in bare(small).items()}
    assert adopt(file, small.config).prefix == "student."


def test_a_basic_block_file_is_no_bottleneck_encoder(make, bare):
    with pytest.raises(WeightsError):
        adopt(bare(make(name="resnet18")), make().config)


def test_a_file_of_another_kind_of_network_says_what_it_holds(make, bare, taken):
    vit = make(name="vit_tiny_patch16_224", options={"embed_dim": 24, "depth": 1}, stem="imagenet")
    with pytest.raises(WeightsError, match="begin with cls_token"):
        taken(bare(vit))


def test_a_few_names_in_common_are_no_encoder_of_another_width(tensors, taken):
    file = {"conv1.weight": torch.ones(3), "bn1.weight": torch.ones(5), "embedding": torch.ones(2)}
    with pytest.raises(WeightsError, match=r"supplies 2 of them.*begin with conv1\.weight"):
        taken(file)


def test_values_that_are_not_finite_are_refused(tensors, taken):
    tensors = {n: t.clone() for n, t in tensors.items()}
    tensors["layer2.0.bn1.running_var"][3] = float("inf")
    with pytest.raises(WeightsError, match=r"not finite, layer2\.0\.bn1\.running_var"):
        taken(tensors)


def test_whole_numbers_are_no_weights(tensors, taken):
    quantised = {
        **tensors,
        "layer1.0.conv2.weight": tensors["layer1.0.conv2.weight"].to(torch.int8),
    }
    with pytest.raises(WeightsError, match=r"int8 8 x 8 x 3 x 3"):
        taken(quantised)


def test_half_precision_becomes_float32(tensors, taken):
    halved = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    weight = taken(halved).encoder.network.layer1[0].conv1.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, tensors["layer1.0.conv1.weight"].half().float())


def test_files_from_before_the_counters_of_batches_are_whole(encoder, tensors, taken):
    adopted = taken({n: t for n, t in tensors.items() if not n.endswith(COUNTER)})
    assert adopted.missing == ()
    state = adopted.encoder.state_dict()
    assert {int(t) for n, t in state.items() if n.endswith(COUNTER)} == {0}
    kept = [n for n in state if not n.endswith(COUNTER)]
    assert all(torch.equal(state[n], encoder.state_dict()[n]) for n in kept)


def test_an_encoder_of_ours_that_saw_its_input_otherwise_is_refused(make):
    other = make(mean=(0.5, 0.5, 0.5))
    with pytest.raises(WeightsError, match=re.escape("mean [0.5, 0.5, 0.5]")):
        adopt(other.state_dict(), make().config)
    adopted = adopt(other.state_dict(), other.config)
    assert tensors_digest(adopted.encoder.state_dict()) == tensors_digest(other.state_dict())


def test_the_files_tensors_are_copied_not_shared(tensors, taken):
    adopted = taken(tensors)
    adopted.encoder.network.conv1.weight.data.zero_()
    assert float(tensors["conv1.weight"].abs().sum()) > 0


def test_moco_v3s_small_transformer_needs_its_heads_of_attention_said():
    options = {"img_size": 32, "patch_size": 16, "depth": 1, "num_heads": 12}
    config = EncoderConfig(name="vit_small_patch16_224", options=options)
    encoder = Encoder(config)
    network = encoder.network.state_dict()
    file = {f"state_dict.module.base_encoder.{name}": t for name, t in network.items()}
    silent = config.model_copy(
        update={"options": {k: v for k, v in options.items() if k != "num_heads"}}
    )
    with pytest.raises(WeightsError, match=r"12 heads .* --set encoder\.options\.num_heads=12"):
        adopt(file, silent)
    adopted = adopt(file, config)
    assert adopted.encoder.network.blocks[0].attn.num_heads == 12
    assert adopt(dict(network), silent).encoder.network.blocks[0].attn.num_heads == 6
