"""The format of a release: its manifest, what it expects of a request, how its gates are judged. No act, no key."""
