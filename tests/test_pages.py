"""README.md and the pages beside it: links lead somewhere, tables are those of the records."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("results/**/README.md")),
]
LINK = re.compile(r'\]\(([^)#\s]+)[^)]*\)|src="([^"]+)"')
QUOTED = re.compile(r"<!-- (\S+/\S+) -->\n(.*?)<!-- end -->", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    targets = [one or other for one, other in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_quoted_table_is_that_of_the_records(page: Path) -> None:
    for name, quoted in QUOTED.findall(page.read_text(encoding="utf-8")):
        published = ROOT / "results" / f"{name}.md"
        assert quoted.strip() == published.read_text(encoding="utf-8").strip(), name


def test_the_readme_quotes_tables() -> None:
    names = [name for name, _ in QUOTED.findall((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert {"quick/main", "cifar10-mini/main", "speed/comparisons"} <= set(names)
