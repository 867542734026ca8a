"""Mistakes planted into the shipped stacks, and what stops each of them before anything is made in an account.

    python -m tests.seeds

Each entry of `aws.yaml`, `checked.yaml`, `later.yaml` and `databricks.yaml` is one mistake in one program (`stack`,
PROD unless it says another): `set` changes properties by path (null removes), `replace` a piece of text in one,
`statement` and `trust` add to a policy, `add` and `remove` whole resources, `unprotect` takes protection away, `config`
changes the stack's file.
"""
