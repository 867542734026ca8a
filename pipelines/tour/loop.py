"""The stops that close the loop: traffic, drift, labels, review, retraining, erasure."""

from datetime import UTC, datetime

from ml.data.read import ingest
from ml.monitoring.replay import traffic
from ml.problem import load_problem
from pipelines._steps import PROJECT
from pipelines.tour.play import DEV, PROD, Play

__all__ = ["erase", "join_labels", "retrain", "review", "see_drift", "serve_a_year"]

SHIFTED_ROWS = 4000


def serve_a_year(play: Play) -> None:
    """Replay the rows that nobody trained on; every answer is logged."""
    split, target = load_problem().split, load_problem().target
    why = f"Every row of {split.live} asks PROD; the outcomes are kept aside, as they come late. {target.event}"
    with play.record.step("Serve a year of traffic", why) as step:
        played = play.replay(step, PROD, "--truth", play.truth.name)
        seconds = played["seconds"]
        step.fact(f"{played['rows']:,} predictions in {seconds:.0f} s, none failed", holds=not played["failures"])
        play.record.figure(f"{played['rows']:,}", "predictions served and logged")
        play.year_ended_at = datetime.now(UTC)
        shifted = play.replay(step, PROD, "--shifted", "--rows", str(SHIFTED_ROWS))
        said = f"then {shifted['rows']:,} of another population, to see drift: {split.shifted.title}"
        step.fact(said, holds=not shifted["failures"])
        play.wait_for_log(played["rows"] + shifted["rows"])
        step.fact("each of them is in the prediction log, once")


def see_drift(play: Play) -> None:
    """Monitor the year, then the shifted population."""
    split = load_problem().split
    why = (
        f"{split.live} differs from {split.train} for certain, but too little to matter. So that an alert is seen, too,"
        " there is another population: that one is made for the tour. PSI, the population stability index, says how far"
        " a distribution has moved from that of the training data; 0 is not at all."
    )
    with play.record.step("See drift", why) as step:
        border = play.year_ended_at.strftime("%Y-%m-%dT%H:%M:%S.%f")
        drift = play.monitor(step, "The year", "--until", border)["drift"]
        step.fact(f"{split.live}: {drift['summary']}", holds=not drift["alert"])
        shifted = play.monitor(step, split.shifted.title, "--since", border)
        step.fact(f"{split.shifted.title}: {shifted['drift']['summary']}", holds=shifted["drift"]["alert"])
        performance = shifted["performance"]
        step.fact(f"and before any label came: {performance['summary']}", holds=performance["alert"])


def join_labels(play: Play) -> None:
    """Deliver the year's outcomes."""
    why = (
        "Outcomes arrive late, by file. One whose prediction isn't there yet waits for it; doubled and contradicting "
        "ones are reported and kept aside."
    )
    with play.record.step("Join labels", why) as step:
        with play.truth.open("r+", encoding="utf-8") as file:
            last = file.readlines()[-1]
            file.write(last)
        report = play.ask(step, "labels", "add", play.truth.name, "--stack", PROD)
        said = f"{report['accepted']:,} labels joined, 1 that came twice kept aside"
        step.fact(said, holds=(report["waiting"], report["rejected"]) == (0, {"doubled": 1}))
        performance = play.monitor(step, "With labels")["performance"]
        step.fact(f"performance with labels: {performance['summary']}", holds=not performance["alert"])
        play.record.figure(f"{report['accepted']:,}", "late labels joined")


def review(play: Play) -> None:
    """An expert confirms one doubtful case and overrules another."""
    why = "Scores near the threshold, unusual rows and a random sample wait for an expert; decisions become labels."
    with play.record.step("Expert review", why) as step:
        cases = play.sandbox.ask("review", "list", "--stack", PROD)
        limit = load_problem().review.maximum_queue
        step.fact(f"{len(cases)} cases wait; the queue takes at most {limit}", holds=1 < len(cases) <= limit)
        play.mlops(step, "review", "show", cases[0]["case"], "--stack", PROD)
        play.mlops(step, "review", "decide", cases[0]["case"], "--stack", PROD, "--confirm")
        note = ("--overrule", "--note", "The tour's expert knows better")
        play.mlops(step, "review", "decide", cases[1]["case"], "--stack", PROD, *note)
        waiting = {case["case"] for case in play.sandbox.ask("review", "list", "--stack", PROD)}
        decided = {case["case"] for case in cases[:2]}
        step.fact("one is confirmed, one overruled; both are gone from the queue", holds=not waiting & decided)


def retrain(play: Play) -> None:
    """Train a challenger on the newer window; it must pass the same gates and not be worse than the champion."""
    why = "Enough new labels ask for it. It ends as a release candidate in DEV, pinned nowhere."
    with play.record.step("Retrain", why) as step:
        before = play.pinned(PROD)
        done = play.ask(step, "retrain", "--stack", PROD, "--to", DEV)
        because = ", ".join(trigger["kind"] for trigger in done["triggers"] if trigger["holds"])
        step.fact(f"due because of: {because}; the candidate is {done['release']}", holds=bool(done["release"]))
        step.fact("it pinned nothing", holds=play.pinned(PROD) == before == play.pinned(DEV))
        again = play.ask(step, "retrain", "--stack", PROD, "--to", DEV)
        step.fact("asked again, it trains nothing: one run, not two", holds=again["release"] is None)
        play.mlops(step, "release", "--stack", DEV, "--run", done["tracking_run"])
        play.up(step, DEV)
        step.fact("pinned on purpose, it serves in DEV", holds=play.serves(DEV) == done["release"])


def erase(play: Play) -> None:
    """Remove a person from everything that PROD holds, and prove it."""
    why = "The person is named by the subject that the requests carried; the store holds a keyed pseudonym only."
    with play.record.step("Erase a person", why) as step:
        subject = _somebody(play)
        held = play.mlops(step, "subject-export", "--stack", PROD, "--subject", subject)
        step.fact(f"{subject} is in the log", holds='"prediction_id"' in held)
        output = play.mlops(step, "erase", "--stack", PROD, "--subject", subject)
        left = play.mlops(step, "subject-export", "--stack", PROD, "--subject", subject)
        step.fact("nothing is held any more", holds='"prediction_id"' not in left)
        proof = next(line for line in output.splitlines() if line.startswith("Found again"))
        step.fact(" ".join(proof.split()), holds=proof.split()[2] == "0")


def _somebody(play: Play) -> str:
    """The first person who asked, by the name that the replay gave as subject."""
    problem = load_problem()
    live = problem.split.live
    asked = traffic(problem, ingest(problem, live, play.store(PROD), PROJECT), (), rows=None, seed=0)
    return f"{live}-{asked[problem.identifier].iloc[0]}"
