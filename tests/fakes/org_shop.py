"""The same farm behind a fake Loadbalancer.org."""

from __future__ import annotations

from pathlib import Path

from backends.loadbalancer_org.port import LoadbalancerOrg
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.ports import Asker, BalancerPort
from tests.fakes.box_shop import ApplianceShop, Operator
from tests.fakes.loadbalancer_org import ORG_KEY, ORG_PASSWORD, ORG_USER, FakeLoadbalancerOrg, LbManners
from tests.windows.certificates import issue


class OrgShop(ApplianceShop[FakeLoadbalancerOrg]):
    """A Loadbalancer.org."""

    engine_name = "loadbalancer.org"
    user = ORG_USER
    scheduler = "wlc"

    def __init__(
        self, folder: Path, *, manners: LbManners | None = None, nodes: int = 1, by_hand: bool = False,
        servers: int = 3,
    ) -> None:  # fmt: skip
        certificate = issue(folder / "box.pem", "lb.example").file
        box = FakeLoadbalancerOrg(certificate, certificate, nodes=nodes, manners=manners)
        super().__init__(folder, box, Operator(ORG_PASSWORD, key=ORG_KEY), by_hand=by_hand, servers=servers)

    def foreign(self) -> None:
        config = self.box.config
        config.virtuals["mail"] = {
            "server": "10.0.9.10", "ports": "25", "protocol": "tcp", "forwardingmethod": "masq", "scheduler": "wrr",
            "persistent": "off", "persist_time": "300", "granularity": "255.255.255.255",
        }  # fmt: skip
        config.reals["mail"] = {
            "web1": {"server": "10.0.9.1", "port": "25", "weight": "100", "minconns": "0", "maxconns": "0"}
        }
        config.layer7["web farm"] = {"server": "10.0.9.10", "ports": "443"}
        config.floating.add("10.0.9.10")
        self.box.reboot()

    def open_balancer(self, deployment: Deployment, asker: Asker) -> BalancerPort:
        return LoadbalancerOrg(deployment, asker)

    def ours(self) -> list[str]:
        """Names of all that is ours there."""
        return sorted(name for name in self.box.config.virtuals if name.startswith("dsr_"))
