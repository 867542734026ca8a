"""What make does before there is anything else: uv, whole or not at all."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# As pip does, it leaves what it finds as it is.
PIP = """#!/bin/sh
while [ "$1" != --target ]; do shift; done
[ -e "$2/bin" ] || { mkdir -p "$2/bin"; echo whole > "$2/bin/uv"; }
"""


def test_half_of_uv_is_replaced_by_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text(PIP)
    (tmp_path / "bin" / "python3").chmod(0o755)
    home = tmp_path / "cache" / "uv"
    (home / "bin").mkdir(parents=True)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = ["make", f"UV_HOME={home}", str(home / "bin" / "uv")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert (home / "bin" / "uv").read_text() == "whole\n"
    assert list((tmp_path / "cache").iterdir()) == [home]
