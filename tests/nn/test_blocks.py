"""Blocks of an encoder against timm's own forward pass."""

import pytest
import torch

from sslbench.errors import ConfigError, Diverged
from sslbench.nn.blocks import BlockInput, block_inputs, read_blocks, read_images
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3}
RESNET = {"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]}


def encoder(name="resnet18", options=RESNET, **settings):
    torch.manual_seed(0)
    built = Encoder(EncoderConfig(name=name, options=options, **settings))
    for part in built.modules():  # norms that do nothing would hide that they are left out
        if isinstance(part, torch.nn.LayerNorm):
            torch.nn.init.normal_(part.weight)
    return built.eval()


def vit(**options):
    return encoder("vit_tiny_patch16_224", {**VIT, **options})


def pictures(n=3):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_stages_of_a_network_without_tokens_are_means_of_its_maps():
    network = encoder()
    inputs = block_inputs(network, (1, 4), (False, True))
    assert [str(given) for given in inputs] == ["last 1", "last 4"]  # there is no token to add
    one, four = read_blocks(network, pictures(), inputs)
    torch.testing.assert_close(one, network(pictures()).detach())
    maps = network.network.forward_intermediates(
        network.normalized(pictures()), intermediates_only=True
    )
    torch.testing.assert_close(four, torch.cat([m.mean((2, 3)) for m in maps[1:]], 1).detach())


def test_towers_have_the_stages_of_both():
    split = encoder(input="lab_split")
    one, four = read_blocks(split, pictures(), block_inputs(split, (1, 4), (False,)))
    torch.testing.assert_close(one, split(pictures()).detach())
    assert four.shape == (3, 8 + 16 + 32 + 64)


def test_class_tokens_of_the_last_blocks_stand_side_by_side_behind_the_final_norm():
    network = vit(reg_tokens=2)
    timm = network.network
    inputs = block_inputs(network, (1, 3), (False, True))
    found = dict(zip(map(str, inputs), read_blocks(network, pictures(), inputs), strict=True))
    assert list(found) == [
        "last 1", "last 1 and mean patch", "last 3", "last 3 and mean patch",
    ]  # fmt: skip
    with torch.no_grad():
        x = timm.norm_pre(timm._pos_embed(timm.patch_embed(network.normalized(pictures()))))
        tokens = []
        for block in timm.blocks:
            x = block(x)
            tokens.append(timm.norm(x))
        mean = tokens[-1][:, 3:].mean(1)  # behind the class token and two registers
    classes = [t[:, 0] for t in tokens]
    torch.testing.assert_close(found["last 1"], classes[-1])
    torch.testing.assert_close(found["last 3"], torch.cat(classes[1:], 1))
    torch.testing.assert_close(found["last 1 and mean patch"], torch.cat([classes[-1], mean], 1))
    torch.testing.assert_close(found["last 3 and mean patch"], torch.cat([*classes[1:], mean], 1))
    torch.testing.assert_close(found["last 1"], network(pictures()).detach())


def test_without_blocks_the_input_is_the_output():
    network = vit()
    (output,) = read_blocks(network, pictures(), [BlockInput()])
    torch.testing.assert_close(output, network(pictures()).detach())


def test_blocks_that_are_not_there_are_an_error():
    with pytest.raises(ConfigError, match=r"blocks \[1, 6\]: encoder 'resnet18' has 5"):
        block_inputs(encoder(), (1, 6), (False,))
    with pytest.raises(ConfigError, match="no class token"):
        block_inputs(vit(class_token=False, global_pool="avg"), (1,), (False,))


def test_images_in_batches_are_images_at_once():
    network = encoder()
    inputs = block_inputs(network, (1, 2), (False,))
    whole = read_blocks(network, pictures(7), inputs)
    parts = read_images(network, pictures(7).split(3), 7, inputs)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(Diverged, match="not finite"):
        read_images(network, [pictures() * float("nan")], 3, inputs)
