"""The format of a text, recognised by its content. What is not recognised is `unknown`: it is never guessed at."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers import ipvsadm, plain
from dsrwizard.core.intake.importers.common import LONGEST_LINE
from dsrwizard.core.intake.importers.table import is_header, table

ListKind = Literal[
    "plain", "ansible", "ssh_config", "keepalived", "ldirectord", "ipvsadm", "netscaler", "aloha", "unknown"
]
KIND_WORDS: dict[ListKind, str] = {
    "plain": "list, /etc/hosts or CSV",
    "ansible": "Ansible inventory",
    "ssh_config": "ssh config",
    "keepalived": "keepalived.conf",
    "ldirectord": "ldirectord.cf",
    "ipvsadm": "output of ipvsadm",
    "netscaler": "NetScaler ns.conf",
    "aloha": "LB Layer4 of an ALOHA",
    "unknown": "not recognised",
}

# Blanks, and no \s: from each of many empty lines it would go on to the end.
_KEEPALIVED = re.compile(
    r"^[ \t]*(virtual_server(_group)?|vrrp_instance|vrrp_sync_group|vrrp_script|vrrp_track_process|global_defs|"
    r"static_ipaddress|real_server)\b[^=\n;]{0,300}$",
    re.MULTILINE,
)
_INCLUDES_ALONE = re.compile(r"[ \t]*include[a-z]?[ \t]+[^\s;]+[ \t]*$")
_LDIRECTORD = re.compile(r"^[ \t]*virtual6?[ \t]*=[ \t]*\S", re.MULTILINE | re.IGNORECASE)
_REAL = re.compile(r"^[ \t]+(real6?|checktype|service|scheduler|protocol|request)[ \t]*=", re.MULTILINE | re.IGNORECASE)
_NETSCALER = re.compile(
    r"^#NS[0-9]+\.[0-9]|^(add|set|bind)[ \t]+(lb[ \t]+(vserver|group|monitor)|service(Group)?|server)[ \t]+\S",
    re.MULTILINE,
)
_ALOHA = re.compile(r"^[ \t]*director[ \t]+\S", re.MULTILINE)
_IN_A_DIRECTOR = re.compile(r"^[ \t]*(balance|mode|option|check|server)[ \t]+\S", re.MULTILINE)
_NETSCALER_SURE = re.compile(r"^(add[ \t]+lb[ \t]+vserver|add[ \t]+service|#NS[0-9])", re.MULTILINE)
_SSH_HOST = re.compile(r"^[ \t]*(Host|Match)([ \t]+|[ \t]*=[ \t]*)\S", re.IGNORECASE | re.MULTILINE)
_SSH_SETTING = re.compile(
    r"^[ \t]*(HostName|User|Port|IdentityFile|IdentitiesOnly|ProxyJump|ProxyCommand|StrictHostKeyChecking|"
    r"UserKnownHostsFile|ForwardAgent|ServerAliveInterval)([ \t]+|[ \t]*=[ \t]*)\S",
    re.IGNORECASE | re.MULTILINE,
)
_SSH_INCLUDE = re.compile(r"^[ \t]*Include[ \t]+\S+[ \t]*$", re.MULTILINE)
_INI = re.compile(r"^[ \t]*\[[^\[\]\s]+\][ \t]*([#;].*)?$|^[^#\n]*\bansible_\w+[ \t]*[=:]", re.MULTILINE)
_HEADING = re.compile(r"[ \t]*\[[^\[\]\s:]+\][ \t]*$")
_YAML = re.compile(r"^(---|[\w.-]+:)[ \t]*(#.*)?$", re.MULTILINE)
_JSON_INVENTORY = re.compile(r'"(_meta|hostvars|hosts|ansible_host|children|variables)"[ \t]*:')
_DEPLOYMENT = re.compile(r"^[ \t]*\[\[(vips|servers|vips\.services)\]\]", re.MULTILINE)


def detect(text: str, name: str = "") -> ListKind:
    """The format of a text, from its content; the file name decides only if the content does not."""
    lines = [
        line.rstrip()[:LONGEST_LINE] for line in text[:100_000].lstrip("\N{ZERO WIDTH NO-BREAK SPACE}").splitlines()
    ]
    text = "\n".join(lines)
    significant = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", "!"))]
    if _DEPLOYMENT.search(text):
        return "unknown"
    if not significant:
        return "plain"
    balancer = _balancer(text, significant)
    if balancer is not None:
        return balancer
    first = significant[0].strip()
    if first.startswith(("{", '["', "[{")):
        return "ansible" if _JSON_INVENTORY.search(text) and first.startswith("{") else "unknown"
    if is_header(first.split()) or ((told := table(text)) is not None and told.columns):
        return "plain"
    if _SSH_HOST.search(text) and (_SSH_SETTING.search(text) or not _INI.search(text)) and _is_ssh(significant):
        return "ssh_config"
    if all(_SSH_INCLUDE.match(line) for line in significant):
        return "ssh_config"
    path = PurePath(name.lower())
    if _INI.search(text) and not _is_list_with_headings(significant):
        return "ansible"
    if _YAML.search(text) or path.suffix in (".yml", ".yaml", ".ini"):
        return "ansible"
    return "plain" if plain.is_plausible(text) else "unknown"


def _balancer(text: str, significant: list[str]) -> ListKind | None:
    if ipvsadm.SAVED.search(text) or ipvsadm.LISTED.search(text) or ipvsadm.CONNECTIONS.search(text):
        return "ipvsadm"
    if _NETSCALER_SURE.search(text) or len(_NETSCALER.findall(text)) > 1:
        return "netscaler"
    if _KEEPALIVED.search(text) and "{" in text:
        return "keepalived"
    if _ALOHA.match(significant[0]) and _IN_A_DIRECTOR.search(text):
        return "aloha"
    if all(_INCLUDES_ALONE.match(line) for line in significant):
        return "keepalived"
    if _LDIRECTORD.search(text) and _REAL.search(text):
        return "ldirectord"
    return None


def _is_ssh(significant: list[str]) -> bool:
    """Whether no line is one that ssh_config cannot have: two words at least, and no braces."""
    odd = sum(not re.match(r"[ \t]*[A-Za-z][A-Za-z0-9]*([ \t]*=|[ \t]+)", line) or line.rstrip().endswith(("{", ";"))
              for line in significant)  # fmt: skip
    return odd * 3 <= len(significant)


def _is_list_with_headings(significant: list[str]) -> bool:
    """Whether this is a list `name address` under headings in brackets, and no inventory: in an inventory whatever
    follows the host is `name=value`."""
    if any("ansible_" in line for line in significant):
        return False
    for line in significant:
        words = line.split()
        if (
            not _HEADING.match(line)
            and len(words) > 1
            and "=" not in line
            and any(fields.parsed(word.strip(",;")) is not None for word in words[1:])
        ):
            return True
    return False


def unrecognised(text: str) -> str:
    """Why a text is refused, in a sentence, with the format's name where it is known."""
    head = text[:100_000]
    for words, pattern in _OTHERS:
        if re.search(pattern, head, re.MULTILINE):
            return words
    return (
        "The format was not recognised, so nothing was imported. dsrwizard reads lists, CSV, /etc/hosts, Ansible "
        "inventories, ssh configs, keepalived.conf, ldirectord.cf, ipvsadm -Sn, NetScaler's ns.conf and the LB Layer4 "
        "text of an ALOHA."
    )


_OTHERS = (
    ("This is a deployment file of dsrwizard: use it as FILE, for example `dsrwizard plan FILE`.",
     r"^[ \t]*\[\[(vips|servers)\]\]"),
    ("This looks like an haproxy.cfg, which dsrwizard does not read: nothing was imported.",
     r"^[ \t]*(frontend|backend|listen|defaults)\b[^={]*$"),
    ("This looks like a configuration of nginx, which dsrwizard does not read: nothing was imported.",
     r"^[ \t]*(upstream[ \t]+\S+|server|http|events|stream)[ \t]*\{"),
    ("This looks like an lvs.cf of Piranha, which dsrwizard does not read. Import the output of `ipvsadm -Sn` instead.",
     r"^[ \t]*virtual[ \t]+\S+[ \t]*\{"),
    ("This is HTML or XML, which dsrwizard does not read: nothing was imported.", r"\A\s*<"),
)  # fmt: skip
