"""Runbooks: manual steps for a real server that dsrwizard does not log in to, and for a load balancer that it does not
set up, with the deployment's addresses in every command. Pure."""

from dsrwizard.core.tell.runbook.book import NAMES, HandBook, Runbook, declared_system, runbook
from dsrwizard.core.tell.runbook.step import RunbookStep
from dsrwizard.core.tell.runbook.ticks import StepProof, proof_of
from dsrwizard.core.tell.runbook.writing import html, markdown, text

__all__ = [
    "NAMES",
    "HandBook",
    "Runbook",
    "RunbookStep",
    "StepProof",
    "declared_system",
    "html",
    "markdown",
    "proof_of",
    "runbook",
    "text",
]
