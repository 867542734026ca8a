"""The review page over real HTTP: who gets in, what a forged or hostile request gets, and labels by API."""

import asyncio
import base64
import http.client
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from ml.feedback.accounts import Accounts
from ml.feedback.labels import read_labels
from ml.feedback.queue import ReviewQueue
from ml.feedback.web.page import _Pages
from ml.problem import Problem, load_problem
from ml.store import Store
from tests.live import log_rows, review_page, write_log

PASSWORD = "correct horse battery"  # noqa: S105 # of an account that the test makes
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read().decode()


class Client:
    """A browser's cookie jar of one cookie, and nothing else."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookie = ""

    def ask(self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            sent = {"Cookie": self.cookie} if self.cookie else {}
            connection.request(method, path, body.encode(), sent | (headers or {}))
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        if cookie := answer.headers.get("Set-Cookie"):
            self.cookie = cookie.split(";")[0]
        return answer

    def token(self, path: str = "/sign-in") -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.ask("GET", path).body)
        assert found
        return found.group(1)

    def send(self, path: str, token: str, **fields: str) -> Answer:
        return self.ask("POST", path, urlencode({"csrf": token, **fields}), FORM)

    def sign_in(self, name: str = "eve", password: str = PASSWORD) -> Answer:
        return self.send("/sign-in", self.token(), name=name, password=password)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load_problem()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, problem: Problem) -> Iterator[tuple[str, Store]]:
    """A running page and its store, with two accounts and thirty cases."""
    store = Store((tmp_path_factory.mktemp("review") / "store").as_uri())
    now = datetime.now(UTC)
    write_log(store, problem, log_rows(problem, 30, now - timedelta(hours=2), score=0.6667))
    for name in ("eve", "ada"):
        Accounts(store).save(name, PASSWORD, now)
    ReviewQueue(store, problem).refresh(now)
    with review_page(store) as url:
        yield url, store


@pytest.fixture
def client(place: tuple[str, Store]) -> Client:
    return Client(place[0])


@pytest.fixture
def queue(place: tuple[str, Store], problem: Problem) -> ReviewQueue:
    return ReviewQueue(place[1], problem)


def test_nothing_is_shown_to_whom_nobody_knows(client: Client, queue: ReviewQueue) -> None:
    for path in ("/", f"/cases/{queue.cases()[0].case}"):
        answer = client.ask("GET", path)
        assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
    assert client.send(f"/cases/{queue.cases()[0].case}", "x", verdict="confirm").headers["Location"] == "/sign-in"


def test_a_session_is_a_strict_cookie_out_of_reach_of_scripts(client: Client) -> None:
    answer = client.sign_in()
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    page = client.ask("GET", "/")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


def test_an_altered_cookie_is_no_session(client: Client) -> None:
    client.sign_in()
    name, value = client.cookie.split("=", 1)
    payload, rest = value.split(".", 1)
    session = json.loads(base64.b64decode(payload)) | {"user": "ada"}
    client.cookie = f"{name}={base64.b64encode(json.dumps(session).encode()).decode()}.{rest}"
    assert client.ask("GET", "/").headers["Location"] == "/sign-in"


def test_wrong_passwords_and_unknown_names_get_the_same_answer_and_then_wait(client: Client) -> None:
    wrong, unknown = (client.sign_in(name, "not the password").body for name in ("ada", "who"))
    hidden = [re.sub(r'name="csrf" value="[^"]+"', "", text) for text in (wrong, unknown.replace("who", "ada"))]
    assert hidden[0] == hidden[1]
    for _ in range(4):
        assert client.sign_in("ada", "not the password").status == 401
    assert client.sign_in("ada").status == 401  # the right one, too soon
    assert client.sign_in("eve").status == 303


def test_guesses_that_come_at_once_wait_too(tmp_path: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a burst would be as many guesses as there are requests under way."""
    pages = _Pages(Store(tmp_path.as_uri()), problem)
    tried: list[str] = []

    def slow(_: Accounts, name: str, password: str) -> bool:
        tried.append(password)
        return threading.Event().wait(0.01)  # that is: no

    monkeypatch.setattr(Accounts, "check", slow)

    async def burst() -> list[str | None]:
        return await asyncio.gather(*[pages._checked("eve", f"guess {number}") for number in range(40)])

    assert asyncio.run(burst()) == [None] * 40
    assert 5 <= len(tried) <= 6, "two are checked at a time"


def test_a_form_from_another_site_decides_nothing(client: Client, queue: ReviewQueue) -> None:
    client.sign_in()
    case = queue.cases()[0]
    for token in ("", "x" * 43, Client("http://" + client.host).token()):
        assert client.send(f"/cases/{case.case}", token, verdict="confirm").status == 403
    assert case in queue.cases()


def test_the_token_from_before_signing_in_no_longer_counts(client: Client, queue: ReviewQueue) -> None:
    before = client.token()
    client.send("/sign-in", before, name="eve", password=PASSWORD)
    assert client.send(f"/cases/{queue.cases()[0].case}", before, verdict="confirm").status == 403


def test_a_case_is_decided_once_and_the_next_is_shown(
    client: Client, queue: ReviewQueue, place: tuple[str, Store]
) -> None:
    client.sign_in()
    first, second = queue.cases()[:2]
    path = f"/cases/{first.case}"
    token = client.token(path)
    refused = client.send(path, token, verdict="overrule", note="  ")
    assert refused.status == 422
    assert "needs a note" in refused.body
    done = client.send(path, token, verdict="overrule", note="two jobs\r\n<script>alert(1)</script>")
    assert (done.status, done.headers["Location"]) == (303, f"/cases/{second.case}")
    labels = read_labels(place[1]).filter(prediction_id=first.prediction_id)
    assert labels["author"].to_list() == ["eve"]
    assert labels["note"].to_list() == ["two jobs\n<script>alert(1)</script>"]
    again = client.send(path, token, verdict="confirm")
    assert again.status == 409
    assert "eve overruled" in again.body


@pytest.mark.parametrize(
    ("body", "status"),
    [("csrf=%ff", 400), ("&".join("a=1" for _ in range(99)), 400), ("a" * 70_000, 413), ("", 403)],
)
def test_a_hostile_form_is_refused(client: Client, queue: ReviewQueue, body: str, status: int) -> None:
    client.sign_in()
    assert client.ask("POST", f"/cases/{queue.cases()[0].case}", body, FORM).status == status


def test_what_was_typed_is_shown_as_text(client: Client, queue: ReviewQueue) -> None:
    client.sign_in()
    path = f"/cases/{queue.cases()[0].case}"
    refused = client.send(path, client.token(path), verdict="confirm", note="</textarea><script>" + "x" * 2000)
    assert refused.status == 422
    assert "</textarea><script>" not in refused.body
    assert "&lt;/textarea&gt;&lt;script&gt;" in refused.body


def test_signing_out_needs_the_form_and_ends_the_session(client: Client) -> None:
    client.sign_in()
    assert client.ask("POST", "/sign-out", "", FORM).status == 403
    assert client.ask("GET", "/").status == 200
    client.send("/sign-out", client.token("/"))
    assert client.ask("GET", "/").headers["Location"] == "/sign-in"


def test_a_copy_of_a_cookie_ends_with_its_session(client: Client) -> None:
    client.sign_in()
    kept = client.cookie
    client.send("/sign-out", client.token("/"))
    client.cookie = kept
    assert client.ask("GET", "/").headers["Location"] == "/sign-in"
    assert client.sign_in().status == 303, "whoever signs in again is let in"
    assert client.ask("GET", "/").status == 200


def test_another_password_ends_every_session(place: tuple[str, Store]) -> None:
    url, store = place
    Accounts(store).save("bob", PASSWORD, datetime.now(UTC))
    client = Client(url)
    client.sign_in("bob")
    assert client.ask("GET", "/").status == 200
    Accounts(store).save("bob", PASSWORD + "2", datetime.now(UTC))
    assert client.ask("GET", "/").headers["Location"] == "/sign-in"


def test_labels_arrive_by_api_with_an_account(client: Client, place: tuple[str, Store], problem: Problem) -> None:
    (known,) = write_log(place[1], problem, log_rows(problem, 1, datetime.now(UTC), prefix="api", score=0.1))
    labels = [{"prediction_id": known, "label": 1}, {"prediction_id": "nobody", "label": 0}]
    body = json.dumps({"labels": labels})

    def post(sent: str, user: str | None = f"eve:{PASSWORD}") -> Answer:
        basic = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if user else {}
        return client.ask("POST", "/labels", sent, basic)

    client.sign_in()  # a cookie does not count here
    assert post(body, None).status == 401
    assert post(body, "eve:wrong wrong wrong").status == 401
    assert post(body, "Basic").status == 401
    first, again = post(body), post(body)
    assert first.status == again.status == 200
    report = json.loads(first.body)
    assert (report["accepted"], report["waiting"], report["rejected"], report["is_new"]) == (1, 1, {}, True)
    assert json.loads(again.body) == report | {"is_new": False}
    assert "labels" in json.loads(post("{}").body)["error"]
    assert post("x" * (4 * 1024 * 1024 + 1)).status == 413
    assert read_labels(place[1]).filter(prediction_id=known)["author"].to_list() == ["eve"]


def test_keys_and_accounts_are_their_owners_alone(place: tuple[str, Store]) -> None:
    store = place[1]
    for folder in ("review/accounts", "review/session"):
        assert Path(store.path(folder)).stat().st_mode & 0o077 == 0
    assert PASSWORD not in "".join(store.read(key).decode() for key in store.list("review/accounts"))
