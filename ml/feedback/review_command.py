"""`mlops review`: the experts' queue, on the command line and as a web page."""

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ml.http.limits import allowed_host
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store

if TYPE_CHECKING:
    from ml.feedback.queue import ReviewQueue
    from ml.feedback.web.view import CaseView, Fact

__all__ = ["review"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_stack = click.option("--stack", help="The stack; by default the one that MLOPS_RUNTIME describes.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_case = click.argument("case", metavar="CASE")


@click.group()
def review() -> None:
    """Look at doubtful, unusual and sampled predictions, and confirm or overrule them.

    Example: mlops review list --stack local-dev
    """


@review.command("list", epilog="Example: mlops review list --stack local-dev --json")
@_stack
@_json
def list_(stack: str | None, as_json: bool) -> None:
    """Look for new cases in the prediction log, and show all that wait."""
    queue = _queue(stack)
    added = queue.refresh(datetime.now(UTC))
    cases = queue.cases()
    if as_json:
        click.echo(json.dumps([case.model_dump(mode="json") for case in cases], indent=2))
        return
    for case in cases:
        why = ", ".join(case.why).replace("_", " ")
        click.echo(f"{case.case}  {case.score:.4f}  decided {case.decision}  {case.at:%Y-%m-%d %H:%M}  {why}")
    click.echo(f"{len(cases):,} waiting, {added:,} of them new", err=True)


@review.command(epilog="Example: mlops review show --stack local-dev 3f6c0a9be1d24c77")
@_case
@_stack
@_json
def show(case: str, stack: str | None, as_json: bool) -> None:
    """Show a case: the record with what its codes mean, the score, and the model's reasons."""
    from ml.feedback.reasons import Reasons
    from ml.feedback.web.view import case_view

    queue = _queue(stack)
    found = queue.find(case)
    row = queue.row(found)
    row["reasons"] = Reasons(_store(stack), load_problem()).of(found, row)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json") | {"row": row}, indent=2, default=str))
        return
    click.echo(_as_text(case_view(load_problem(), found, row)))


@review.command(epilog="Example: mlops review decide --stack local-dev CASE --overrule --note 'has two jobs'")
@_case
@_stack
@click.option("--confirm/--overrule", "confirms", default=None, help="Whether the model's decision stands.")
@click.option("--note", default="", help="Why; needed to overrule.")
@click.option("--label", type=int, help="The right code, where overruling leaves more than one.")
@click.option("--as", "reviewer", help="Who decides  [default: MLOPS_SIGN_AS, git's user.email, the account]")
@_json
def decide(
    case: str,
    stack: str | None,
    confirms: bool | None,
    note: str,
    label: int | None,
    reviewer: str | None,
    as_json: bool,
) -> None:
    """Confirm or overrule a case; the decision becomes the prediction's label.

    Exit code 2 when somebody else decided it before.
    """
    from ml.trust.people import current_name

    if confirms is None:
        raise click.UsageError("Say --confirm or --overrule.")
    verdict = "confirm" if confirms else "overrule"
    done = _queue(stack).decide(case, verdict, reviewer or current_name(), note, datetime.now(UTC), label)
    if as_json:
        click.echo(done.model_dump_json(indent=2))
        return
    meaning = load_problem().target.codes[done.label]
    click.echo(f"Case {case}: {verdict}ed" if confirms else f"Case {case}: overruled")
    click.echo(f"Label {done.label}: {meaning}, by {done.reviewer}")


@review.command(epilog="Example: mlops review account --stack local-dev eve")
@click.argument("name")
@_stack
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--remove", is_flag=True, help="Take the account away; its sessions end.")
def account(name: str, stack: str | None, password_stdin: bool, remove: bool) -> None:
    """Let NAME sign in to the review page, or give NAME another password."""
    from ml.feedback.accounts import Accounts

    accounts = Accounts(_store(stack))
    if remove:
        accounts.remove(name)
        click.echo(f"{name} can no longer sign in.")
        return
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    accounts.save(name, password, datetime.now(UTC))
    click.echo(f"{name} can sign in.")


@review.command(epilog="Example: mlops review serve --stack local-dev --port 8090")
@_stack
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@allowed_host
def serve(stack: str | None, host: str, port: int, allowed_hosts: tuple[str, ...]) -> None:
    """Run the review page, which also takes in labels at POST /labels.

    On an address beyond this machine, put it behind TLS: its session cookie is then sent over HTTPS alone.
    """
    store = _store(stack)
    from ml.feedback.web.page import review_app
    from ml.http.run import run

    run(review_app(store, load_problem(), secure_cookie=host not in LOOPBACK), host, port, allowed_hosts=allowed_hosts)


def _store(stack: str | None) -> Store:
    return Store(Runtime.load(stack).store_uri)


def _queue(stack: str | None) -> "ReviewQueue":
    store = _store(stack)
    from ml.feedback.queue import ReviewQueue  # polars: not before the stack is known

    return ReviewQueue(store, load_problem())


def _as_text(view: "CaseView") -> str:
    case = view.case
    width = max(len(fact.title) for fact in view.facts)
    facts = [f"{fact.title:<{width}}  {_effect(fact):>8}  {_value(fact)}" for fact in view.facts]
    return "\n".join(
        [
            f"Case {case.case}, predicted {case.at:%Y-%m-%d %H:%M} UTC by {case.release[:19]}",
            f"Here because: {', '.join(view.why).lower()}",
            f"Decision {case.decision}: {view.decided}; score {case.score:.4f}, threshold {case.threshold:.4f}",
            "",
            *facts,
        ]
    )


def _effect(fact: "Fact") -> str:
    return "" if fact.contribution is None else f"{fact.contribution:+.4f}"


def _value(fact: "Fact") -> str:
    return fact.meaning + (f" ({fact.code})" if fact.code else "") + "  NOT SEEN IN TRAINING" * fact.is_outside
