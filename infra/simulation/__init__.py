"""Simulated clouds: strict, stateful resource providers that the real engine attaches to. Not part of any stack."""
