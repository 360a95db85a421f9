"""Runbooks for the load balancer's side: four products, and a skeleton for any other. Pure."""

from dsrwizard.core.tell.runbook.balancer.book import OTHER, BalancerBook, balancer_book, box_of
from dsrwizard.core.tell.runbook.balancer.said import contradictions
from dsrwizard.core.tell.runbook.balancer.ticks import balancer_proofs

__all__ = ["OTHER", "BalancerBook", "balancer_book", "balancer_proofs", "box_of", "contradictions"]
