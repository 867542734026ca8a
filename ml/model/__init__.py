"""One release, loaded: its scorer, its reasons, and the rows that it takes. Serving and bulk scoring stand on it."""
