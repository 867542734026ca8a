"""`python -m ml` is the console script `mlops`, wherever the script itself isn't on PATH."""

from ml.cli import main

main()
