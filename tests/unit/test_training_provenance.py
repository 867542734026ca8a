import subprocess
from pathlib import Path

import pytest

from ml.problem import Problem, load_problem
from ml.training.provenance import code_state, environment, exact_freeze, problem_digest


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("ml/code.py", "stacks/Pulumi.dev.yaml"):
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text("one\n")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    commit, modified = code_state(checkout)
    assert len(commit) == 40
    assert not modified


def test_changed_and_new_code_counts_as_modified(checkout: Path) -> None:
    (checkout / "new.py").write_text("two\n")
    assert code_state(checkout)[1]
    (checkout / "new.py").unlink()
    assert not code_state(checkout)[1]
    (checkout / "ml" / "code.py").write_text("two\n")
    assert code_state(checkout)[1]
    assert code_state(checkout / "stacks")[1]


def test_a_pinned_release_is_no_change_of_code(checkout: Path) -> None:
    (checkout / "stacks" / "Pulumi.dev.yaml").write_text("release: sha256:1\n")
    assert not code_state(checkout)[1]


def test_outside_a_checkout_nothing_vouches_for_the_code(tmp_path: Path) -> None:
    assert code_state(tmp_path) == ("unknown", True)


def test_the_problem_digest_is_of_what_it_says() -> None:
    problem = load_problem()
    definition = problem.model_dump(mode="json")
    reordered = Problem.model_validate(dict(reversed(definition.items())))
    assert problem_digest(reordered) == problem_digest(problem)
    assert problem_digest(problem.model_copy(update={"title": "Another"})) != problem_digest(problem)


def test_the_environment_is_exact() -> None:
    frozen = exact_freeze().splitlines()
    assert f"scikit-learn=={environment()['scikit-learn']}" in frozen
    assert frozen == sorted(frozen, key=str.lower)
