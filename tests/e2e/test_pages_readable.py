"""Every page on a phone and on a desk, in a real browser: no text is clipped or tiny, and nothing is wider than it."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ml.data.quality import check
from ml.data.report import render as render_data
from ml.feedback.accounts import Accounts
from ml.feedback.queue import ReviewQueue
from ml.monitoring.run import monitor_once
from ml.problem import Problem, load_problem
from ml.store import Store
from pipelines.tour.record import Record
from tests.conftest import rows_of
from tests.live import log_rows, reasons_json, review_page, write_log
from tests.monitor_data import NOW, deliver, log_predictions, resampled

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PASSWORD = "correct horse battery"  # noqa: S105 # of an account that the test makes
SMALLEST = 9.0  # pixels of a font, as it is shown
# What a person could not read: texts of pictures that are too small or stick out, and a page that must be pushed about.
UNREADABLE = f"""() => {{
  const found = [...document.querySelectorAll("svg text")].flatMap((text) => {{
    const own = text.getBoundingClientRect(), picture = text.ownerSVGElement.getBoundingClientRect();
    const scale = text.getScreenCTM(), font = parseFloat(getComputedStyle(text).fontSize);
    const size = font * Math.hypot(scale.a, scale.b);
    const sticks = own.left < picture.left - 1 || own.right > picture.right + 1
      || own.top < picture.top - 3 || own.bottom > picture.bottom + 3;
    return size < {SMALLEST} ? [`small: ${{text.textContent}}`] : sticks ? [`clipped: ${{text.textContent}}`] : [];
  }});
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  return wide > 0 ? [...found, `the page is ${{wide}} px wider than the screen`] : found;
}}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


def monitor(store: Store, problem: Problem, release: str) -> str:
    """A day of which one minute had 20,000 predictions: figures of five digits stand at the axis."""
    frame = resampled(store, release, 20_000)
    ids = log_predictions(store, problem, release, frame, lasts=timedelta(minutes=1))
    deliver(store, problem, ids[:2000], [int(score > 0.5) for score in frame["score"][:2000]])
    report = monitor_once(store, problem, NOW)
    assert report is not None
    return store.read(f"{report.key}.html").decode()


def data(store: Store, problem: Problem, release: str) -> str:
    return render_data([check(problem, rows_of(problem, 2000), "raw", "/a/rather/long/path/to/a/file/of/rows.parquet")])


def tour(store: Store, problem: Problem, release: str) -> str:
    record, file = Record(), Path(store.path("tour.html"))
    with record.step("Serve a year", "Why it is done, in a sentence or two that say what there is to see.") as step:
        step.saw("mlops replay --stack local-prod --dataset 2017 --truth truth.csv --json", "x" * 200)
        step.fact("57,559 rows of 2017 answered", holds=True)
    record.figure("57,559", "late labels joined")
    file.parent.mkdir(parents=True, exist_ok=True)
    record.write(file)
    return file.read_text()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("make", [monitor, data, tour])
def test_a_page_can_be_read_on_a_phone_and_on_a_desk(
    browser: Browser,
    store: Store,
    small_problem: Problem,
    published: str,
    tmp_path: Path,
    make: Callable[[Store, Problem, str], str],
    width: int,
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.set_content(make(store, small_problem, published))
    page.screenshot(path=tmp_path / f"{make.__name__}-{width}.png", full_page=True)
    assert page.evaluate(UNREADABLE) == []


def an_expert_on(browser: Browser, store: Store, problem: Problem, now: datetime, width: int = 1280) -> Page:
    """A browser's page, and an expert with an account and cases to decide."""
    Accounts(store).save("eve", PASSWORD, now)
    ReviewQueue(store, problem).refresh(now)
    return browser.new_page(viewport={"width": width, "height": 844})


def open_first_case(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Name").fill("eve")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("a[href^='/cases/']").first.click()
    page.get_by_role("heading", name="Your decision").wait_for()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_case_can_be_read_on_a_phone_and_on_a_desk(
    browser: Browser, store: Store, tmp_path: Path, width: int
) -> None:
    problem, now = load_problem(), datetime.now(UTC)
    reasons = reasons_json(AGEP=0.21, SCHL=-0.12)
    write_log(store, problem, log_rows(problem, 3, now - timedelta(hours=1), score=0.6667, reasons=reasons))
    page = an_expert_on(browser, store, problem, now, width)
    with review_page(store) as url:
        open_first_case(page, url)
        page.screenshot(path=tmp_path / f"case-{width}.png", full_page=True)
        assert page.evaluate(UNREADABLE) == []


def test_reasons_follow_into_the_page_and_what_was_typed_stays(browser: Browser, store: Store) -> None:
    """The release isn't in the store, which takes a moment to find out: the page is there before, and then says so."""
    problem, now = load_problem(), datetime.now(UTC)
    write_log(store, problem, log_rows(problem, 3, now - timedelta(hours=1), score=0.6667))
    page = an_expert_on(browser, store, problem, now)
    with review_page(store) as url:
        open_first_case(page, url)
        page.get_by_label("Note").fill("typed before")
        page.get_by_text("Why the score is what it is can't be said").wait_for()
        assert page.locator("#coming").count() == 0
        assert page.get_by_label("Note").input_value() == "typed before"
