"""The host that `make preview` has the engine connect to: what a program says through it, and how it ends."""

import sys
import time

import psutil

from pipelines._sandbox import Sandbox
from pipelines.preview import program_of


def test_it_runs_the_program_and_a_refusal_is_the_programs_own_sentence(project: Sandbox) -> None:
    stack = "local-test"
    project.add_stack(stack)
    with program_of("local", "process", project.environment) as program:
        assert "to create" in project.pulumi("preview", "--stack", stack, "--client", program())
    project.configure(stack, {"mlops:colour": "blue"})
    with program_of("local", "process", project.environment) as program:
        output = project.pulumi("preview", "--stack", stack, "--client", program(), fails=True)
    assert "mlops:colour is not a known key" in output
    assert "Traceback" not in output


def test_what_cannot_be_loaded_is_left_to_the_run(project: Sandbox) -> None:
    stack = "local-prod"
    project.add_stack(stack)
    with program_of("local", "mainframe", project.environment) as program:
        assert "to create" in project.pulumi("preview", "--stack", stack, "--client", program())


def test_it_ends_with_whoever_started_it(project: Sandbox) -> None:
    starts = (
        "import os; from pipelines.preview import program_of\n"
        "with program_of('local', 'process', os.environ) as program: print(program()); input()"
    )
    with psutil.Popen([sys.executable, "-c", starts], env=project.environment, stdin=-1, stdout=-1) as parent:
        assert parent.stdout.readline()
        (host,) = parent.children()
        parent.kill()
    deadline = time.monotonic() + 10
    while host.is_running() and host.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.05)
