"""A stack's endpoint, from outside: what it answers, and which release it serves."""
