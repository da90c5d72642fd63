"""One file per kind of source: each turns what lies on a disk into images, labels and boxes."""
