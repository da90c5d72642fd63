"""What a method needs of views and encoder is checked while planning, with what to do about it."""

import pytest

from sslbench.errors import ConfigError
from sslbench.plan import Environs, Planned, plan
from sslbench.suite import load_suite


def planned(label: str, **pretrain: object) -> Planned:
    environs = Environs(bf16=False, count=lambda spec: 400)
    (row, *_) = plan(load_suite("smoke"), [label], [0], {"pretrain": pretrain}, environs)
    return row


FULL, LOCAL = {}, {"size": 0.5}
JIGSAW = {"patches": "jigsaw", "grid": 3}


@pytest.mark.parametrize(
    ("label", "views", "message"),
    [
        ("simclr", [FULL], "needs 2 full-size views, .* gives 1"),
        ("simclr", [FULL, FULL, LOCAL], "takes no local views, pretrain.views has 1"),
        ("simclr", [FULL, FULL, JIGSAW], "takes no jigsaw patches"),
        ("swav", [LOCAL, FULL, FULL], "must list full-size views before local ones"),
        ("pirl", [FULL], r"needs jigsaw patches: add {patches: jigsaw, grid: 3}"),
        (
            "pirl",
            [FULL, {"patches": "jigsaw", "grid": 2}],
            "in a grid of 3, pretrain.views gives 2",
        ),
        ("cpc", [FULL, FULL], r"needs grid patches: add {patches: grid, grid: 7}"),
        ("cpc", [{"patches": "grid", "grid": 5}], "in a grid of 7, pretrain.views gives 5"),
        ("pirl@no-jigsaw", [FULL, JIGSAW], "needs 2 full-size views"),
    ],
)
def test_views_that_do_not_suit_a_method_are_refused(
    label: str, views: list[object], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        planned(label, views=views)


def test_a_method_is_told_apart_by_what_it_needs_of_its_encoder() -> None:
    assert "encoder.input = lab_split" in planned("cmc").notes
    assert "encoder.norm = group" in planned("cpc").notes
    assert planned("simclr").notes == ()


@pytest.mark.parametrize("views", [[FULL, FULL, LOCAL], [FULL, JIGSAW]])
def test_a_baseline_stands_beside_any_layout(views: list[object]) -> None:
    assert len(planned("supervised", views=views).config.pretrain.views) == len(views)
