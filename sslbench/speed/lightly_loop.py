"""The training loop that lightly documents for SimCLR and for MoCo, around our encoder.

Written after the examples of lightly's documentation (docs.lightly.ai, examples/simclr and moco):
views by PIL in the workers of a DataLoader, one encoder pass per view, NTXentLoss, for MoCo with a
memory bank and a momentum encoder. Recipe, heads, batch and optimiser are those of the suite.
"""

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sslbench.data.recipe import Look, Recipe
from sslbench.nn.encoder import Encoder

TEMPERATURE = 0.2
MOMENTUM = 0.99


class PILImages(Dataset[tuple[list[Tensor], int]]):
    """Pixels in memory, handed to a transform as PIL images, as torchvision's CIFAR10 does."""

    def __init__(self, pixels: Tensor, transform: object) -> None:
        self.pixels = pixels.permute(0, 2, 3, 1).contiguous().numpy()  # N x H x W x 3, uint8
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, position: int) -> tuple[list[Tensor], int]:
        image = Image.fromarray(self.pixels[position])
        return self.transform(image), 0  # type: ignore[operator]


def transform(look: Look, size: int) -> object:
    """lightly's transform of MoCo v2 with the values of a look: two views of one PIL image.

    Normalisation is the encoder's here, so it is left out.
    """
    from lightly.transforms.moco_transform import MoCoV2Transform

    return MoCoV2Transform(
        input_size=size,
        cj_prob=look.jitter.p,
        cj_bright=look.jitter.brightness,
        cj_contrast=look.jitter.contrast,
        cj_sat=look.jitter.saturation,
        cj_hue=look.jitter.hue,
        min_scale=look.crop[0],
        random_gray_scale=look.grayscale,
        gaussian_blur=look.blur.p,
        sigmas=(look.blur.sigma[0] * size, look.blur.sigma[1] * size),
        hf_prob=look.flip,
        normalize=None,
    )


@dataclass(frozen=True)
class Loop:
    """An epoch of lightly's loop per call of ``epoch``; weights go on from one to the next."""

    encoder: Encoder
    pixels: Tensor  # N x 3 x H x W, uint8
    recipe: Recipe
    batch_size: int
    size: int  # of a view
    lr: float
    fast: bool = False  # bf16 and channels last

    def simclr(self) -> Iterator[None]:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead

        dim = self.encoder.dim
        head = self._placed(SimCLRProjectionHead(dim, dim, 128))
        criterion = NTXentLoss(temperature=TEMPERATURE)
        optimizer = self._optimizer(head)
        while True:
            for (first, second), _ in self._loader():
                with self._autocast():
                    z0 = head(self.encoder(self._view(first)).flatten(start_dim=1))
                    z1 = head(self.encoder(self._view(second)).flatten(start_dim=1))
                    loss = criterion(z0, z1)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            yield

    def moco(self, queue: int) -> Iterator[None]:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import MoCoProjectionHead
        from lightly.models.utils import deactivate_requires_grad, update_momentum

        dim = self.encoder.dim
        head = self._placed(MoCoProjectionHead(dim, dim, 128))
        keys, key_head = copy.deepcopy(self.encoder), copy.deepcopy(head)
        deactivate_requires_grad(keys)
        deactivate_requires_grad(key_head)
        criterion = NTXentLoss(temperature=TEMPERATURE, memory_bank_size=(queue, 128))
        optimizer = self._optimizer(head)
        while True:
            for (query_view, key_view), _ in self._loader():
                update_momentum(self.encoder, keys, m=MOMENTUM)
                update_momentum(head, key_head, m=MOMENTUM)
                with self._autocast():
                    query = head(self.encoder(self._view(query_view)).flatten(start_dim=1))
                    key = key_head(keys(self._view(key_view)).flatten(start_dim=1)).detach()
                    loss = criterion(query, key)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            yield

    def _loader(self) -> DataLoader[tuple[list[Tensor], int]]:
        look = self.recipe.look(0)
        return DataLoader(
            PILImages(self.pixels, transform(look, self.size)),
            batch_size=self.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=os.cpu_count() or 1,
        )

    def _optimizer(self, head: nn.Module) -> torch.optim.Optimizer:
        self._placed(self.encoder).train()
        parameters = [*self.encoder.parameters(), *head.parameters()]
        return torch.optim.SGD(parameters, lr=self.lr, momentum=0.9, weight_decay=5e-4)

    def _placed(self, module: nn.Module) -> nn.Module:
        return module.to(memory_format=torch.channels_last) if self.fast else module

    def _view(self, view: Tensor) -> Tensor:
        return view.contiguous(memory_format=torch.channels_last) if self.fast else view

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.fast)
