"""`python -m ml.container` is `mlops-container`."""

from ml.container.command import main

main()
