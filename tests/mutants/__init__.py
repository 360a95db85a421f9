"""Mutation testing: `make mutants` changes a seeded sample of single places and counts which the tests notice."""
