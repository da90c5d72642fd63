import pytest
import torch
from torch import nn

from sslbench.errors import ConfigError
from sslbench.nn import Encoder, EncoderConfig, cross_view_entropy, embed_views

SMALL = {"name": "resnet18", "stem": "small"}
OPTIONS = {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]}


def pictures(count, size, seed):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def layout():
    """Two full-size and three local views of four images."""
    return [pictures(4, 16 if view < 2 else 8, view) for view in range(5)]


def summary(images):
    return torch.stack([images.mean((1, 2, 3)), images[:, 0, 0, 0]], 1)


def test_every_views_embedding_comes_back_in_its_place():
    views = layout()
    views[1], views[3] = views[3], views[1]  # sizes need not be sorted
    for found, view in zip(embed_views(views, summary, lambda rows: 2 * rows), views, strict=True):
        torch.testing.assert_close(found, 2 * summary(view))


def test_each_size_goes_through_the_encoder_once_and_all_views_through_the_head_together():
    seen, rows = [], []

    def encoder(images):
        seen.append(tuple(images.shape))
        return summary(images)

    def head(features):
        rows.append(len(features))
        return features

    embed_views(layout(), encoder, head)
    assert seen == [(8, 3, 16, 16), (12, 3, 8, 8)]
    assert rows == [20]


def test_views_of_one_size_share_batch_statistics():
    norm = nn.BatchNorm2d(3)
    one, other = layout()[:2]
    found = embed_views([one, other], lambda images: norm(images).flatten(1))
    expected = nn.BatchNorm2d(3)(torch.cat([one, other])).flatten(1).chunk(2)
    torch.testing.assert_close(found, list(expected))


@pytest.mark.parametrize("splits", [2, 4])
def test_a_chunk_of_a_split_batch_has_its_images_in_every_view(splits):
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(**SMALL, options=OPTIONS, bn_splits=splits))
    views = layout()[:2]
    found = embed_views(views, encoder)
    whole = Encoder(EncoderConfig(**SMALL, options=OPTIONS))
    whole.load_state_dict(encoder.state_dict())
    for device in torch.arange(4).chunk(splits):  # as if each were alone
        alone = embed_views([view[device] for view in views], whole)
        for everyone, part in zip(found, alone, strict=True):
            torch.testing.assert_close(everyone[device], part, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_view():
    views = [view.requires_grad_() for view in layout()]
    sum(embedding.sum() for embedding in embed_views(views, summary)).backward()
    assert all(view.grad.any() for view in views)


@pytest.mark.parametrize(("views", "targets"), [(2, 2), (2, 1), (5, 2), (3, 3)])
def test_every_pair_of_unlike_views_counts_alike(views, targets):
    generator = torch.Generator().manual_seed(0)
    scores, taught = torch.randn(2, views, 4, 3, generator=generator, dtype=torch.float64)
    predictions = list(scores.log_softmax(2))
    shares = list(taught.softmax(2))[:targets]
    losses = [
        -float((target[row] * predictions[view][row]).sum())
        for place, target in enumerate(shares)
        for view in range(views)
        for row in range(4)
        if view != place
    ]
    assert len(losses) == targets * (views - 1) * 4
    found = cross_view_entropy(predictions, shares)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_views_without_an_unlike_pair_are_refused():
    one = torch.zeros(4, 3)
    for predictions, targets in (([one], [one]), ([one, one], [])):
        with pytest.raises(ConfigError, match="no pair of unlike views"):
            cross_view_entropy(predictions, targets)
