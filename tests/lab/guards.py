"""A guard at work in the lab: what its state file says of it."""

from __future__ import annotations

from tests.lab.harness import Lab

STATE = "/run/dsrwizard/guard-shop.json"
_ROUNDS = f"""$(python3 -c 'import json; print(json.load(open("{STATE}"))["rounds"])')"""


def rounds(lab: Lab, host: str = "director", count: int = 4) -> None:
    """Waits until the guard there has gone through so many more rounds. What a guard before it left in the file does
    not count: it began at a lower number."""
    more = f'[ "$now" -ge $(( first + {count} )) ]'
    lab.wait(host, f'{{ now={_ROUNDS}; [ "$now" -ge "${{first:=$now}}" ] || first=$now; {more}; }} 2>/dev/null')
