"""What was counted and measured, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.disk import GIB
from sslbench.scale.clustering import Clustered
from sslbench.scale.holding import Holding

SIZES = {"ImageNet-1k": 1_281_167, "ImageNet-22k": 14_197_122, "1 G images": 1_000_000_000}


@dataclass(frozen=True)
class Counted:
    """Of one method, by size of the training set in the order of SIZES."""

    title: str
    holdings: tuple[Holding, ...]
    flop_per_image: float
    kmeans_by_rule: tuple[float, ...]  # FLOP an epoch, the number of clusters growing with images
    kmeans_as_imagenet: tuple[float, ...]  # FLOP, with ImageNet-1k's number
    bytes_while_clustering: float  # an image, for a moment

    @property
    def bytes_per_image(self) -> float:
        """Held on every rank, with a number of clusters that does not grow."""
        first = self.holdings[0]
        return (first.bank + first.assignments) / SIZES["ImageNet-1k"]


def held_table(methods: Sequence[Counted]) -> str:
    """GiB on every rank."""
    head = (
        "method",
        "weights, gradients, optimiser",
        "copies, queue, prototypes",
        "bytes an image",
        "more while clustering",
        *SIZES,
    )
    rows = []
    for method in methods:
        first = method.holdings[0]
        cells = [
            _gib(first.trained),
            _gib(first.copies + first.queue + first.prototypes),
            f"{method.bytes_per_image:.0f}" if method.bytes_per_image else "",
            f"{method.bytes_while_clustering:.0f}" if method.bytes_while_clustering else "",
            *(_gib(holding.total) for holding in method.holdings),
        ]
        rows.append([method.title, *cells])
    return _markdown(head, rows)


def work_table(methods: Sequence[Counted]) -> str:
    """FLOP of an epoch: of training, and of k-means as a share of it."""
    head = (
        "method",
        "GFLOP an image",
        "an epoch of ImageNet-1k, PFLOP",
        "k-means, TFLOP",
        "share",
        "22k, as many clusters",
        "by rule",
        "1 G, as many clusters",
        "by rule",
    )
    rows = []
    for method in methods:
        epochs = [method.flop_per_image * images for images in SIZES.values()]
        kept = [work / epoch for work, epoch in zip(method.kmeans_as_imagenet, epochs, strict=True)]
        ruled = [work / epoch for work, epoch in zip(method.kmeans_by_rule, epochs, strict=True)]
        cells = [f"{method.flop_per_image / 1e9:.1f}", f"{epochs[0] / 1e15:.0f}"]
        if ruled[0]:
            shares = (ruled[0], kept[1], ruled[1], kept[2], ruled[2])
            cells += [f"{method.kmeans_by_rule[0] / 1e12:,.0f}", *map(_share, shares)]
        else:
            cells += [""] * 6
        rows.append([method.title, *cells])
    return _markdown(head, rows)


def clustered_table(measured: Sequence[Clustered]) -> str:
    """k-means as measured; times of the larger foretold by the rate of the first."""
    head = (
        "points",
        "clusters",
        "TFLOP",
        "seconds",
        "GFLOP/s",
        "foretold s",
        "GiB at most",
        "foretold GiB",
    )
    rows = []
    for number, one in enumerate(measured):
        work = one.work
        foretold = f"{work.flop / measured[0].rate:.0f}" if number else ""
        rows.append(
            [
                f"{work.points:,}",
                f"{work.clusters:,}",
                f"{work.flop / 1e12:.1f}",
                f"{one.seconds:.0f}",
                f"{one.rate / 1e9:.0f}",
                foretold,
                f"{one.gib:.2f}",
                f"{one.before + work.bytes / GIB:.2f}",
            ]
        )
    return _markdown(head, rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left where it holds names."""
    marks = ["---" if head[0] == "method" else "---:", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, marks, *rows))


def _gib(count: float) -> str:
    return f"{count / GIB:,.2f}" if count < 10 * GIB else f"{count / GIB:,.0f}"


def _share(value: float) -> str:
    return f"{100 * value:.2g} %" if value < 1 else f"{value:,.1f} x"
