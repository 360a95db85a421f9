"""The command `dsrwizard adopt`: an existing farm becomes a deployment file, and nothing is changed on any host."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Adopt what this file says instead of this director's IPVS; repeatable, for names and logins of servers.",
)
@click.option(
    "--netscaler", default="", metavar="USER@ADDRESS", help="Adopt what this NetScaler is set to, read over NITRO."
)
@click.option(
    "--loadbalancer-org", default="", metavar="USER@ADDRESS", help="The same of a Loadbalancer.org, over its API v2."
)
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="OUT", help="Write the deployment file here.")
@click.option("--force", is_flag=True, help="Overwrite OUT if it exists.")
@click.option("--name", default="", metavar="NAME", help="The deployment's name. Default: as OUT.")
@click.option("--interface", default="", metavar="NAME", help="The director's interface, if it cannot be seen.")
@click.option("--no-login", is_flag=True, help="Do not try to log in to the real servers by SSH.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def adopt(
    sources: tuple[Path, ...],
    netscaler: str,
    loadbalancer_org: str,
    output: Path | None,
    force: bool,
    name: str,
    interface: str,
    no_login: bool,
    as_json: bool,
) -> int:
    """Make a deployment file of a farm that exists already. Changes nothing on any host.

    Reads this director's IPVS; with --netscaler the virtual servers in MAC mode of a NetScaler; with
    --loadbalancer-org the services in direct routing of such an appliance; or with --from: keepalived.conf,
    ldirectord.cf, the output of ipvsadm -Sn or -Ln, a NetScaler's ns.conf, or the text of an ALOHA's LB Layer4 tab.
    Lists, /etc/hosts, Ansible inventories and ssh configs add names and logins.
    """
    from dsrwizard.cli.adopting import adopted

    return adopted(
        sources, output, force=force, name=name, interface=interface, no_login=no_login, as_json=as_json,
        netscaler=netscaler, loadbalancer_org=loadbalancer_org,
    )  # fmt: skip
