"""An expert's morning, in a real browser and without a mouse."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ml.feedback.accounts import Accounts
from ml.feedback.labels import read_labels
from ml.feedback.queue import Case, ReviewQueue
from ml.problem import load_problem
from ml.store import Store
from tests.live import log_rows, reasons_json, review_page, write_log

CHROMIUM = shutil.which("chromium")  # the system's; None: the one that `playwright install chromium` brought
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse battery"  # noqa: S105 # of an account that the test makes
CONFLICT = "status of 409"  # what a browser says of it is not the page's complaint


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def queue(store: Store) -> ReviewQueue:
    problem, now = load_problem(), datetime.now(UTC)
    reasons = reasons_json(AGEP=0.21, SCHL=-0.12)
    write_log(store, problem, log_rows(problem, 6, now - timedelta(hours=1), score=0.6667, reasons=reasons))
    for name in ("eve", "ada"):
        Accounts(store).save(name, PASSWORD, now)
    queue = ReviewQueue(store, problem)
    queue.refresh(now)
    return queue


@pytest.fixture
def url(store: Store, queue: ReviewQueue) -> Iterator[str]:
    with review_page(store) as address:
        yield address


@pytest.fixture
def sign_in(browser: Browser, url: str) -> Iterator[Callable[[str], Page]]:
    """Sign in with the keyboard alone; whatever the page asks of the network or complains about fails the test."""
    complaints: list[str] = []
    pages: list[Page] = []

    def begin(name: str) -> Page:
        page = browser.new_context().new_page()
        pages.append(page)
        page.on("console", lambda message: None if CONFLICT in message.text else complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(url) else complaints.append(f"asks {r.url}"))
        page.goto(url)
        expect(page.locator("#name")).to_be_focused()
        page.keyboard.type(name)
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("waiting")
        page.wait_for_load_state("load")  # keys before that meet no script and no focus
        return page

    yield begin
    for page in pages:
        page.context.close()
    assert complaints == []


def label_of(store: Store, case: Case) -> tuple[int, str, str] | None:
    rows = read_labels(store).filter(prediction_id=case.prediction_id).select("label", "author", "note").rows()
    return rows[0] if rows else None


def test_an_expert_decides_without_a_mouse(sign_in: Callable[[str], Page], store: Store, queue: ReviewQueue) -> None:
    first, second, third = queue.cases()[:3]
    page = sign_in("eve")
    expect(page.get_by_text("Start with the first")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/cases/{first.case}")

    page.keyboard.press("c")
    page.wait_for_url(f"**/cases/{second.case}")
    expect(page.get_by_role("status")).to_contain_text("confirmed")
    assert label_of(store, first) == (first.decision, "eve", "")

    page.keyboard.press("o")  # without a note it asks for one
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.type("cos of two jobs")  # letters that are shortcuts elsewhere
    page.keyboard.press("Control+Enter")
    page.wait_for_url(f"**/cases/{third.case}")
    assert label_of(store, second) == (1 - second.decision, "eve", "cos of two jobs")

    page.keyboard.press("n")
    page.keyboard.type("not sure")
    page.keyboard.press("Escape")
    page.keyboard.press("s")  # later: nothing is decided
    page.wait_for_function(f"!location.pathname.endsWith('{third.case}')")
    assert label_of(store, third) is None
    assert len(queue.cases()) == 4


def test_the_page_shows_what_the_codes_mean_and_what_moved_the_score(
    sign_in: Callable[[str], Page], queue: ReviewQueue
) -> None:
    case = queue.cases()[0]
    row, problem = queue.row(case), load_problem()
    page = sign_in("eve")
    page.goto(page.url + f"cases/{case.case}")
    record = page.get_by_role("region", name="The record")
    sex = next(f for f in problem.features if f.name == "SEX")
    expect(record.get_by_role("row", name=sex.title)).to_contain_text(sex.codes[row["SEX"]])
    expect(record.get_by_role("row").nth(1)).to_contain_text("Age in years")  # what moved it most comes first
    expect(record.get_by_role("row").nth(1)).to_contain_text("+0.210")
    model = page.get_by_role("region", name="What the model says")
    expect(model).to_contain_text(problem.target.codes[case.decision])
    expect(model.get_by_role("img")).to_have_attribute(
        "aria-label", "Score 0.667, threshold 0.667, on a scale from 0 to 1"
    )


def test_shortcuts_can_be_switched_off(sign_in: Callable[[str], Page], queue: ReviewQueue, store: Store) -> None:
    case = queue.cases()[0]
    page = sign_in("eve")
    page.goto(page.url + f"cases/{case.case}")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.reload()
    expect(page.get_by_label("Single-key shortcuts")).not_to_be_checked()
    page.keyboard.press("c")
    page.get_by_role("button", name="Confirm").focus()
    assert label_of(store, case) is None
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("confirmed")
    assert label_of(store, case) is not None


def test_the_second_of_two_experts_is_told_who_was_first(
    sign_in: Callable[[str], Page], queue: ReviewQueue, store: Store
) -> None:
    case = queue.cases()[0]
    eve, ada = sign_in("eve"), sign_in("ada")
    for page in (eve, ada):
        page.goto(page.url + f"cases/{case.case}")
    eve.keyboard.press("c")
    expect(eve.get_by_role("status")).to_contain_text("confirmed")
    with ada.expect_response(lambda r: r.status == 409):
        ada.keyboard.press("c")
    expect(ada.get_by_role("alert")).to_contain_text("eve confirmed the case")
    assert label_of(store, case) == (case.decision, "eve", "")


def test_the_page_works_without_scripts(browser: Browser, url: str, queue: ReviewQueue, store: Store) -> None:
    case = queue.cases()[0]
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    page.fill("#name", "eve")
    page.fill("#password", PASSWORD)
    page.click("text=Sign in >> nth=-1")
    page.goto(f"{url}/cases/{case.case}")
    page.fill("#note", "seen at work")
    page.get_by_role("button", name="Overrule").click()
    assert label_of(store, case) == (1 - case.decision, "eve", "seen at work")
    context.close()
