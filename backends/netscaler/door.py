"""Where NITRO is."""

from __future__ import annotations

from backends.appliance import door
from backends.appliance.door import Management, ManagementApi
from dsrwizard.core.model.deployment import Balancer

NITRO_API = ManagementApi(
    host="NetScaler", port=443, path="/nitro/v1", certificate_of="netscaler", listener="show ns ip",
    settings="show ns param",
)  # fmt: skip


def management(balancer: Balancer, address: str) -> Management:
    """Raises HostError for a ca_file that cannot be used."""
    return door.management(NITRO_API, balancer, address)
