"""What `make tour` plays, in a folder of its own: each of its statements is checked while it runs."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from infra.clouds.local import _launch

ROOT = Path(__file__).parents[2]
STOPS = 14


class Page(HTMLParser):
    """The identifiers that a page has and the places that it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.references.append(value)


def test_the_tour_plays_to_its_end_and_leaves_its_page(tmp_path: Path) -> None:
    folder = tmp_path / "tour"
    tour = subprocess.run(
        [sys.executable, "-m", "pipelines.tour", "--folder", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert not _launch.marked(str(folder), prefix=True), "no process is left"
    text = (folder / "tour.html").read_text(encoding="utf-8")
    assert re.search(r"All \d+ statements below were checked and held", text)
    assert len(re.findall(r'<section class="card"', text)) == STOPS
    assert str(folder) not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL), "no path of this machine"
    page = Page(text)
    for reference in page.references:
        assert reference[1:] in page.ids if reference.startswith("#") else (folder / reference).is_file(), reference
