"""The same table in Markdown, LaTeX and CSV, against texts that were read and found right."""

import csv
import io
import re
from typing import Any

from rich.console import Console

from sslbench.report.notations import escape_latex, escape_markdown
from sslbench.report.write import tables

NASTY = "<b>_a_ & 50% of |x| [1](u) $y$ #2 *z* ~q~ `c` \\ ^ {k}"


def nasty(experiment: Any) -> Any:
    experiment.row("random", {"knn": (10.0, 9.0, 11.0)}, title="Random")
    experiment.row("moco", {"knn": (40.0, 38.0, 42.0)}, title=NASTY, notes=(NASTY,))
    experiment.row("hcsc", {"knn": (45.5, 43.0, 48.0)}, title="[H] 50%", notes=("a--b",))
    experiment.row("pcl", failed="nan & <inf>")
    experiment.plan(caption="a < b")
    return tables(experiment.store, "tiny")[0]


def plain(experiment: Any) -> Any:
    experiment.row("random", {"knn": (10.0, 9.0, 11.0)}, title="Random")
    card = {"year": 2019}
    experiment.row("moco@v1", {"knn": (40.0, 38.0, 42.0)}, title="MoCo_v1", card=card, notes=("n",))
    experiment.row("hcsc", {"knn": (45.5, 43.0, 48.0)}, title="A|B")
    experiment.row("pcl", title="PCL", failed="loss is nan")
    experiment.row("supervised", trained=False, title="Supervised")
    experiment.plan(describe=["year"], caption="50% & more")
    return tables(experiment.store, "tiny")[0]


GOLDEN_MARKDOWN = """\
**Tiny: 50% &amp; more**

| Method     | Year |     kNN top-1 (%) | Linear top-1 |
| ---------- | ---- | ----------------: | -----------: |
| Random     |      |  10.0 [9.0, 11.0] |            – |
|            |      |                   |              |
| MoCo_v1¹   | 2019 | 40.0 [38.0, 42.0] |            – |
| A\\|B       | –    | 45.5 [43.0, 48.0] |            – |
| PCL        | –    |           failed² |      failed² |
|            |      |                   |              |
| Supervised |      |                 – |            – |

1. n
2. pre-training failed: Diverged at step 7: loss is nan

In brackets: 95 % interval, bootstrap over 2000 test images. With one seed an interval speaks of \
this run on other test images, not of the method trained again.

Of these runs alone, not of the methods (McNemar, Holm's correction): ahead of every other run is \
A\\|B in kNN top-1. Nothing is bold, for that takes several seeds.

No ranks over data sets: this table has 1 data set, and a comparison of ranks needs at least 5.

From the records of 4 of 5 runs; commit 0123456789ab; machine Example CPU, 2 cores (cpu). \
Command: sslbench run --suite tiny
"""  # noqa: RUF001

GOLDEN_LATEX = r"""% needs \usepackage{booktabs}
\begin{table}[t]
\centering
\caption{Tiny: 50\% \& more}
\label{tab:tiny-main}
\begin{tabular}{llrr}
\toprule
Method & Year & kNN top-1 (\%) & Linear top-1 \\
\midrule
Random &  & 10.0 [9.0, 11.0] & -- \\
\midrule
MoCo\_v1\textsuperscript{1} & 2019 & 40.0 [38.0, 42.0] & -- \\
A\textbar{}B & -- & 45.5 [43.0, 48.0] & -- \\
PCL & -- & failed\textsuperscript{2} & failed\textsuperscript{2} \\
\midrule
Supervised &  & -- & -- \\
\bottomrule
\end{tabular}

\smallskip
\begin{minipage}{\linewidth}\footnotesize\raggedright
\textsuperscript{1}~n\par
\textsuperscript{2}~pre-training failed: Diverged at step 7: loss is nan\par
In brackets: 95 \% interval, bootstrap over 2000 test images. With one seed an interval speaks of this run on other test images, not of the method trained again.\par
Of these runs alone, not of the methods (McNemar, Holm's correction): ahead of every other run is A\textbar{}B in kNN top-1. Nothing is bold, for that takes several seeds.\par
No ranks over data sets: this table has 1 data set, and a comparison of ranks needs at least 5.\par
\end{minipage}
\end{table}
"""  # noqa: E501


def test_markdown_is_as_it_was_found_right(experiment: Any) -> None:
    assert plain(experiment).to_markdown() == GOLDEN_MARKDOWN


def test_latex_is_as_it_was_found_right(experiment: Any) -> None:
    assert plain(experiment).to_latex() == GOLDEN_LATEX


def test_the_best_is_bold_and_ties_have_a_dagger_in_every_notation(experiment: Any) -> None:
    for seed in range(3):
        experiment.row("moco", {"knn": 40.0 + seed, "linear": 50.0 + seed}, seed=seed)
        experiment.row("hcsc", {"knn": 45.0 + seed, "linear": 52.0 - seed}, seed=seed)
    experiment.plan()
    table = tables(experiment.store, "tiny")[0]

    assert re.search(r"\*\*46\.0\*\* ± [\d.]+", table.to_markdown())
    assert re.search(r"51\.0† ± [\d.]+ \| *$|51\.0† ± ", table.to_markdown(), re.MULTILINE)
    assert r"\textbf{46.0} $\pm$" in table.to_latex()
    assert r"51.0\dag{} $\pm$" in table.to_latex()
    assert "† ties: not told apart from the best of the column" in table.to_markdown()
    shown = {(li["label"], li["column"]): li for li in csv.DictReader(io.StringIO(table.to_csv()))}
    best, second = shown["hcsc", "kNN top-1"], shown["moco", "kNN top-1"]
    assert (best["separable_best"], best["tied_for_best"]) == ("yes", "no")
    assert float(second["p_value_against_best"]) < 0.05
    assert shown["moco", "Linear top-1"]["tied_for_best"] == "yes"
    assert (second["test"], second["claim"]) == ("crossed seeds x images", "methods")


def test_specials_cannot_break_a_markdown_table(experiment: Any) -> None:
    text = nasty(experiment).to_markdown()

    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "<" not in text
    assert "[1](" not in text


def test_markdown_specials_are_escaped_and_ordinary_text_is_left_alone() -> None:
    assert escape_markdown("<b> & |") == r"&lt;b&gt; &amp; \|"
    assert escape_markdown("_a_ __b batch_size *c*") == r"\_a\_ \_\_b batch_size \*c\*"
    assert escape_markdown("[1](u) [43.0, 47.2]") == r"[1\](u) [43.0, 47.2]"
    assert escape_markdown("two\nlines\r\nof  text") == "two lines of text"


def test_latex_specials_are_escaped() -> None:
    assert escape_latex("a_b & 5% #1 $x {y}") == r"a\_b \& 5\% \#1 \$x \{y\}"
    assert escape_latex("<~^|\\`>") == (
        r"\textless{}\textasciitilde{}\textasciicircum{}\textbar{}\textbackslash{}"
        r"\textasciigrave{}\textgreater{}"
    )
    assert escape_latex("a--b---c-d") == "a-{}-b-{}-{}-c-d"
    assert escape_latex("45.1 ± 2.1 –") == r"45.1 $\pm$ 2.1 --"  # noqa: RUF001


def test_a_latex_table_has_the_form_that_booktabs_wants(experiment: Any) -> None:
    text = nasty(experiment).to_latex()

    body = text[text.index(r"\toprule") : text.index(r"\end{tabular}")].splitlines()
    rows = [line for line in body if line.endswith(r" \\")]
    assert body[0] == r"\toprule"
    assert body[-1] == r"\bottomrule"
    assert set(body) - set(rows) == {r"\toprule", r"\midrule", r"\bottomrule"}
    columns = len(re.search(r"\\begin{tabular}{(\w+)}", text)[1])  # type: ignore[index]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {columns}
    assert not any(row.startswith("[") for row in rows)
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    for name in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1


def test_csv_has_full_precision_and_no_comments(experiment: Any) -> None:
    experiment.row("moco", {"knn": (100 / 3, 30.0, 36.123456789)}, title=NASTY, notes=("why",))
    experiment.row("hcsc", trained=False, skipped={"linear": 'no, "never"'})
    experiment.plan()

    text = tables(experiment.store, "tiny")[0].to_csv()

    lines = list(csv.DictReader(io.StringIO(text)))
    assert text.startswith(
        "kind,label,title,group,column,evaluation,metric,less,unit,status,value,"
    )
    assert [(line["label"], line["column"], line["status"]) for line in lines] == [
        ("moco", "kNN top-1", "done"),
        ("moco", "Linear top-1", "missing"),
        ("hcsc", "kNN top-1", "missing"),
        ("hcsc", "Linear top-1", "skipped"),
    ]
    assert float(lines[0]["value"]) == 100 / 3
    assert float(lines[0]["high"]) == 36.123456789
    assert (lines[0]["title"], lines[0]["notes"]) == (NASTY, "why")
    assert (lines[3]["value"], lines[3]["notes"]) == ("", 'no, "never"')


def test_a_terminal_shows_titles_as_they_are(experiment: Any) -> None:
    experiment.row("moco", {"knn": (40.0, 38.0, 42.0)}, title="[red]not red[/red]")
    experiment.plan()
    console = Console(width=120, record=True, file=io.StringIO())

    console.print(tables(experiment.store, "tiny")[0].to_rich())

    text = " ".join(console.export_text().split())
    assert "[red]not red[/red]" in text
    assert "40.0 [38.0, 42.0]" in text
    assert "this run on other test images" in text


def test_a_narrow_terminal_keeps_every_number_and_lets_the_descriptions_go(experiment: Any) -> None:
    experiment.row("moco", {"knn": (40.0, 38.0, 42.0)}, title="MoCo")
    experiment.plan(describe=["year", "momentum_encoder", "clustering"])
    table = tables(experiment.store, "tiny")[0]
    shown = {}
    for width in (70, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(table.to_rich())
        shown[width] = console.export_text()
    assert table.headings
    assert all(heading in shown[200] for heading in table.headings)
    assert not any(heading in shown[70] for heading in table.headings)
    assert all(part in shown[70] for part in ("MoCo", "40.0", "38.0", "42.0"))
