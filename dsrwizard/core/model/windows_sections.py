"""The sections of a look at a Windows host: each is read on its own, and one that cannot be read is not known.

Their ids are the keys of `WindowsFacts.unknown` and `WindowsAdapter.unknown`, and stay what they are.
"""

from __future__ import annotations

SECTIONS: dict[str, str] = {
    "system": "the version of Windows",
    "machine": "the machine's own id",
    "privileges": "the rights of the login",
    "install-policy": "the policies for installing devices",
    "adapters": "the network adapters",
    "adapter": "the adapter",
    "addresses": "the addresses",
    "kept-addresses": "the addresses that are set again at the next start",
    "interfaces": "the IP settings of the adapters",
    "routes": "the default routes",
    "neighbours": "the gateway's MAC",
    "bindings": "what is bound to the adapter",
    "dns": "the adapter's registration in DNS",
    "netbios": "the adapter's NetBIOS setting",
    "listeners": "the listening sockets",
    "sites": "the IIS sites",
    "listen-list": "the listen list of http.sys",
    "certificates": "the certificates of http.sys",
    "sni-certificates": "the certificates of http.sys by host name",
    "central-store": "the central certificate store of http.sys",
    "events": "the system log",
    "firewall": "the state of the firewall",
    "firewall-rules": "the firewall's rules",
    "firewall-rules-by-name": "dsrwizard's own firewall rules",
}
"""Id → what it is in a sentence."""


def worded(section: str) -> str:
    """What a section is, in a sentence."""
    return SECTIONS.get(section, section)
