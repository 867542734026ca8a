"""The platforms, a folder each: found by their entry points, imported by nothing else in ml."""
