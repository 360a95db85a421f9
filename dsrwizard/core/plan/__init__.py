"""From deployment and facts to ordered steps: plan, mend, teardown."""
