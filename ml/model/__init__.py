"""One release, loaded: its scorer, its reasons, and the rows that it takes. Training, serving and bulk scoring stand on it."""
