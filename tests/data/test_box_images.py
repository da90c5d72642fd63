"""Images with boxes: sizes, flips and orders, with real decoding and real worker processes."""

import numpy as np
import pytest
import torch
from PIL import Image

from sslbench.data.box_images import BoxImages, Showing
from sslbench.data.images import FileImages, HeldImages
from sslbench.data.readers.source import Boxes
from sslbench.errors import DataError


def boxes_of(*corners, ignore=()):
    count = len(corners)
    return Boxes(
        np.array(corners, dtype=np.float32).reshape(-1, 4),
        np.arange(count),
        np.isin(np.arange(count), ignore),
    )


def marked(width=40, height=20, box=(4, 2, 12, 8)):
    """A black image, white within the box."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    left, top, right, bottom = box
    image[:, top:bottom, left:right] = 255
    return image


def pair(short_sides=(20,), long_side=100, **options):
    images = HeldImages(torch.stack([marked(), marked(box=(20, 10, 40, 20))]))
    boxes = [boxes_of((4, 2, 12, 8)), boxes_of((20, 10, 40, 20))]
    return BoxImages(images, boxes, short_sides, long_side, **options)


def lit(example):
    """The box around what is bright in the picture that is shown."""
    rows, columns = np.nonzero(example.image[0].numpy() > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("short_side", [20, 40, 10])
def test_boxes_move_with_their_image(flip, short_side):
    shown = pair((short_side,))
    for position in (0, 1):
        example = shown[Showing(position, short_side, flip)]
        assert example.image.shape == (3, short_side, 2 * short_side)
        assert example.boxes[0].tolist() == lit(example)
        assert example.scale.tolist() == [short_side / 20] * 4


def test_the_long_side_has_a_limit():
    example = pair((30,), long_side=50)[Showing(0, 30, False)]
    assert example.image.shape == (3, 25, 50)


def test_ignored_objects_are_left_out_unless_wanted():
    images = HeldImages(marked()[None])
    boxes = [boxes_of((4, 2, 12, 8), (1, 1, 3, 3), ignore=[0])]
    for keep, labels in ((False, [1]), (True, [0, 1])):
        shown = BoxImages(images, boxes, (20,), 40, keep_ignored=keep)
        assert shown[Showing(0, 20, False)].labels.tolist() == labels


def test_every_image_comes_once_an_epoch_in_an_order_of_the_seed():
    images = HeldImages(torch.zeros(7, 3, 16, 16, dtype=torch.uint8))
    shown = BoxImages(images, [boxes_of()] * 7, (16, 24, 32), 100)
    drawn = shown.drawn(3, steps=7, batch_size=3, flip=True)
    flat = [showing for batch in drawn for showing in batch]
    positions = [showing.position for showing in flat]
    epochs = [positions[start : start + 7] for start in (0, 7, 14)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 3
    assert epochs[0] != epochs[1]
    assert {showing.short_side for showing in flat} == {16, 24, 32}
    assert {showing.flip for showing in flat} == {False, True}
    assert shown.drawn(3, 7, 3, True) == drawn
    assert shown.drawn(4, 7, 3, True) != drawn
    assert not any(showing.flip for batch in shown.drawn(3, 7, 3, False) for showing in batch)


def test_in_order_shows_all_images_at_the_last_size():
    batches = pair((10, 20)).in_order(batch_size=1)
    assert batches == [[Showing(0, 20, False)], [Showing(1, 20, False)]]


def test_workers_read_what_is_not_held_and_name_the_file_they_cannot_read(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path in paths:
        Image.fromarray(marked().permute(1, 2, 0).numpy()).save(path)
    shown = BoxImages(FileImages(paths), [boxes_of((4, 2, 12, 8))] * 3, (20, 40), 100)
    assert not shown.held
    paths[2].write_bytes(b"not an image")
    batches = shown.batches(
        [[Showing(0, 40, False), Showing(1, 20, True)], [Showing(2, 20, False)]]
    )
    first = next(batches)
    assert [example.boxes[0].tolist() for example in first] == [lit(example) for example in first]
    with pytest.raises(DataError, match=r"^.*2\.png: cannot be read") as raised:
        next(batches)
    assert "Traceback" not in str(raised.value)


def test_images_and_boxes_must_be_as_many():
    images = HeldImages(marked()[None])
    with pytest.raises(DataError, match="1 images and 2 lists"):
        BoxImages(images, [boxes_of()] * 2, (20,), 40)
    with pytest.raises(DataError, match="0 images"):
        BoxImages(HeldImages(torch.zeros(0, 3, 8, 8, dtype=torch.uint8)), [], (20,), 40)
