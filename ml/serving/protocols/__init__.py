"""How each platform asks for predictions: one file per protocol, each from that platform's own documentation.

All read their rows into the same matrix and hand it to the same scorer, metrics and prediction log.
"""
