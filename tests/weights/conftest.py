"""Small random encoders, and checkpoints as papers' scripts and common libraries lay them out."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from sslbench.nn import Encoder, EncoderConfig
from sslbench.weights import adopt

TINY = {
    "name": "resnet50",
    "options": {"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]},
    "stem": "small",
}


def made(seed=1, **config):
    """A random encoder whose batch norms have seen something."""
    torch.manual_seed(seed)
    encoder = Encoder(EncoderConfig(**{**TINY, **config}))
    for name, tensor in encoder.state_dict().items():
        if name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
        elif name.endswith("running_mean"):
            tensor.copy_(torch.rand(tensor.shape) - 0.5)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(7)
    return encoder


def network(encoder):
    """The tensors of the network alone, as any other library would name them."""
    state = encoder.state_dict()
    return {n.removeprefix("network."): t for n, t in state.items() if n.startswith("network.")}


# ---- layouts: what a script saves of a given network ------------------------------------------

HEADS = {"fc.0.weight": (8, 8), "fc.0.bias": (8,), "fc.2.weight": (4, 8), "fc.2.bias": (4,)}
ROW = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def under(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def head(prefix, names=HEADS):
    return {f"{prefix}{name}": torch.randn(shape) for name, shape in names.items()}


def copied(network):
    """A momentum copy: the same names and shapes, other values."""
    return {n: t.flip(0) if t.dim() else t for n, t in network.items()}


def optimizer(network):
    """As torch.optim saves its state: numbered, so that none of its tensors has a name."""
    state = {n: {"momentum_buffer": t + 2.0} for n, t in enumerate(network.values())}
    return {"state": state, "param_groups": [{"lr": 0.03, "params": list(state)}]}


def moco(network):
    tensors = under("module.encoder_k.", copied(network)) | head("module.encoder_k.")
    tensors |= under("module.encoder_q.", network) | head("module.encoder_q.")
    tensors |= {"module.queue": torch.randn(4, 16), "module.queue_ptr": torch.zeros(1).long()}
    whole = {"epoch": 200, "arch": "resnet50", "state_dict": tensors}
    return {**whole, "optimizer": optimizer(network)}


def hcsc(network):
    return {**moco(network), "args": Namespace(num_cluster=["3000"], dist_url=None)}


def moco_v3(network):
    tensors = under("module.momentum_encoder.", copied(network)) | head("module.momentum_encoder.")
    tensors |= under("module.base_encoder.", network) | head("module.base_encoder.")
    tensors |= head("module.predictor.")
    return {"epoch": 300, "state_dict": tensors, "scaler": {"scale": 65536.0}}


def swav(network):
    named = {"projection_head.0.weight": (8, 8), "prototypes.weight": (30, 4)}
    return under("module.", network) | head("module.", named)


def swav_checkpoint(network):
    return {"epoch": 400, "state_dict": swav(network), "optimizer": optimizer(network)}


def simclr_backbone(network):
    return {"state_dict": under("backbone.", network) | head("backbone."), "optimizer": {}}


def simclr_encoder(network):
    best = np.float64(61.9)  # as scripts keep a best accuracy
    return {"model": under("encoder.", network) | head("projector."), "best_acc1": best}


def byol_online(network):
    tensors = under("target_encoder.", copied(network)) | under("online_encoder.", network)
    return {"state_dict": tensors | head("predictor.")}


def byol_net(network):
    """Of a popular port, which names its network twice."""
    tensors = under("net.", network) | under("online_encoder.net.", network)
    tensors |= under("target_encoder.net.", copied(network))
    return tensors | head("online_encoder.projector.net.") | head("online_predictor.net.")


def dino(network):
    student = under("module.backbone.", copied(network)) | head("module.head.")
    teacher = under("module.backbone.", network) | head("module.head.")
    args = Namespace(arch="resnet50", out_dim=65536)
    loss = {"center": torch.zeros(1, 4)}
    return {"student": student, "teacher": teacher, "epoch": 100, "args": args, "dino_loss": loss}


def dino_backbone(network):
    return dict(network)


def barlow(network):
    tensors = under("module.backbone.", network) | head("module.projector.")
    return {"epoch": 1000, "model": tensors | {"module.bn.running_mean": torch.zeros(4)}}


def torchvision(network):
    return {**network, "fc.weight": torch.randn(1000, 8), "fc.bias": torch.randn(1000)}


def timm(network):
    return {"arch": "resnet50", "state_dict": torchvision(network), "metric": 79.0}


def lightly(network):
    row = {}
    for name, tensor in network.items():
        part, _, rest = name.partition(".")
        row[f"{ROW[part]}.{rest}"] = tensor
    momentum = under("backbone_momentum.", copied(row))
    tensors = momentum | under("backbone.", row) | head("projection_head.layers.")
    return {"pytorch-lightning_version": "2.0", "state_dict": tensors}


def solo_learn(network):
    tensors = under("momentum_backbone.", copied(network)) | under("backbone.", network)
    return {"state_dict": tensors | head("projector.") | {"classifier.weight": torch.ones(3, 8)}}


def vissl(network):
    trunk = under("_feature_blocks.", network)
    base = {"model": {"trunk": trunk, "heads": head("0.clf.")}, "meters": {}}
    return {"classy_state_dict": {"base_model": base}, "phase_idx": 100}


def ours(network):
    return under("network.", network)


LAYOUTS = {  # the prefix that must be found
    moco: "state_dict.module.encoder_q.",
    hcsc: "state_dict.module.encoder_q.",
    moco_v3: "state_dict.module.base_encoder.",
    swav: "module.",
    swav_checkpoint: "state_dict.module.",
    simclr_backbone: "state_dict.backbone.",
    simclr_encoder: "model.encoder.",
    byol_online: "state_dict.online_encoder.",
    byol_net: "online_encoder.net.",
    dino: "teacher.module.backbone.",
    dino_backbone: "",
    barlow: "model.module.backbone.",
    torchvision: "",
    timm: "state_dict.",
    lightly: "state_dict.backbone.",
    solo_learn: "state_dict.backbone.",
    vissl: "classy_state_dict.base_model.model.trunk._feature_blocks.",
    ours: "network.",
}


def pytest_generate_tests(metafunc):
    """``layout``: each of them, with the prefix under which its network must be found."""
    if "layout" in metafunc.fixturenames:
        cases = [pytest.param(item, id=item[0].__name__) for item in LAYOUTS.items()]
        metafunc.parametrize("layout", cases)


@pytest.fixture
def encoder():
    return made()


@pytest.fixture
def tensors(encoder):
    return network(encoder)


@pytest.fixture
def taken(encoder):
    """``adopt`` for an encoder of that configuration."""

    def take(given, **options):
        return adopt(given, encoder.config, **options)

    return take


@pytest.fixture
def make():
    return made


@pytest.fixture
def bare():
    """The tensors of an encoder's network alone."""
    return network


@pytest.fixture
def layouts():
    """The layouts by name."""
    return {lay.__name__: lay for lay in LAYOUTS}
