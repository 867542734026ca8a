"""How many of the planted mistakes are stopped, and by what; `--write` also into docs/policies.md."""

import sys
import tempfile
from pathlib import Path

from infra.policies.table import FILE, with_section
from tests.seeds.report import outcomes, summary

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(Path(folder))
    for outcome in found if "--verbose" in sys.argv else ():
        print(f"{', '.join(outcome.by) or 'NOT STOPPED'}: {outcome.mistake.text}")
        print("".join(f"    {each}\n" for each in outcome.sentences[:2]))
    print(summary(found))
    if "--write" in sys.argv:
        FILE.write_text(with_section(FILE.read_text(encoding="utf-8"), "mistakes", summary(found)), encoding="utf-8")
