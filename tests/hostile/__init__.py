"""Hostile input: what a host, a file or a neighbour may send, and that none of it hurts the operator.

Every test here takes how many cases to try from `scale`: a share of them in `make test`, all of them in `make hostile`,
which prints tried and failed per class.
"""
