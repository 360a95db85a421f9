"""Ports by the names that balancers print and read (/etc/services), and endpoints of address and port."""

from __future__ import annotations

import re

WELL_KNOWN = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "dns": 53, "tftp": 69, "http": 80,
    "www": 80, "www-http": 80, "kerberos": 88, "pop3": 110, "pop-3": 110, "sunrpc": 111, "nntp": 119, "ntp": 123,
    "loc-srv": 135, "epmap": 135, "netbios-ns": 137, "netbios-ssn": 139, "imap2": 143, "imap": 143, "imap4": 143,
    "snmp": 161, "snmp-trap": 162, "snmptrap": 162, "ldap": 389, "https": 443, "microsoft-ds": 445, "urd": 465,
    "ssmtp": 465, "smtps": 465, "submissions": 465, "syslog": 514, "submission": 587, "ldaps": 636, "domain-s": 853,
    "rsync": 873, "ftps": 990, "imaps": 993, "pop3s": 995, "ms-sql-s": 1433, "openvpn": 1194, "radius": 1812,
    "radius-acct": 1813, "squid": 3128, "ldap-admin": 3407, "mysql": 3306, "ms-wbt-server": 3389, "sip": 5060,
    "sip-tls": 5061, "postgresql": 5432, "amqp": 5672, "rtsp": 554, "http-alt": 8080, "webcache": 8080,
}  # fmt: skip
NUMBERS = frozenset(WELL_KNOWN.values()) | {81, 444, 554, 2222, 5985, 5986, 8000, 8008, 8081, 8443, 8888}
"""Numbers that people mean as a port, wherever they stand."""
_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]*)\]|([^:\[\]\s]+))(?::([\w*-]+))?$")


def well_known(text: str) -> int | None:
    """A port's number from its number or its name; None if it is neither."""
    text = text.strip().lower()
    if text.isdigit() and text.isascii():
        return int(text) if len(text) < 6 else None
    return WELL_KNOWN.get(text)


def split_endpoint(text: str) -> tuple[str, str]:
    """`10.0.0.1:80`, `[fd00::1]:80`, `name:http` or an address alone as host and port, each as written."""
    text = text.strip()
    match = _ENDPOINT.match(text)
    if match is None:  # an IPv6 address without brackets
        return text, ""
    return match[1] or match[2] or "", match[3] or ""
