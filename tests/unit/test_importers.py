"""Lists people already have: what is taken over, what is noted, and that no text breaks an importer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.ssh import config
from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers import Imported, ListKind, ansible, detect, plain, read, ssh_config
from dsrwizard.core.intake.opening import brought, included
from dsrwizard.core.model.foreign import harmless

INI = """\
[web]
web[01:03].example.com ansible_user=deploy   # three of them
db1 ansible_host=10.0.0.9 ansible_port=2222

[mail]
10.0.0.30
win1 ansible_host=10.0.0.31 ansible_connection=winrm ansible_password=hunter2

[site:children]
web
mail

[site:vars]
ansible_user=site
ansible_ssh_private_key_file="~/.ssh/site key"

[all:vars]
ansible_user=root
"""
YAML = """\
---
all:
  vars: {ansible_user: root}
  hosts:
    lone: {ansible_host: 10.0.0.1, ansible_port: 22}
  children:
    web:
      vars: {ansible_user: web}
      hosts:
        web[1:2]:
        web9: &nine {ansible_host: "{{ lookup('x') }}", ansible_become_pass: !vault "hunter2"}
      children:
        canary:
          vars: {ansible_user: canary}
          hosts:
            web2: {ansible_host: 10.0.0.2}
"""
SSH = """\
# mine
Include ~/.ssh/other
Host web1 web2
  HostName %h.example.com
  Port 2222
Host web3
  HostName=10.0.0.3
Host web* !web3
  User deploy
  IdentityFile "~/.ssh/my key"
Match host db1
  User nobody
Host *
  User everyone
Host db1
  HostName 10.0.0.9
"""


def pairs(imported: Imported) -> list[tuple[str, str]]:
    return [(server.name, server.address) for server in imported.servers]


def named(imported: Imported, name: str) -> DraftServer:
    return next(server for server in imported.servers if server.name == name)


@pytest.mark.parametrize(
    ("line", "server"),
    [
        ("web1 10.0.0.101", DraftServer(name="web1", address="10.0.0.101")),
        ("web1\t10.0.0.101\t5", DraftServer(name="web1", address="10.0.0.101", weight="5")),
        ("web1, 10.0.0.101, 5  # rack 3", DraftServer(name="web1", address="10.0.0.101", weight="5")),
        ('"web1";"10.0.0.101"', DraftServer(name="web1", address="10.0.0.101")),
        ("10.0.0.101", DraftServer(name="10.0.0.101", address="10.0.0.101")),
        ("10.0.0.101 3", DraftServer(name="10.0.0.101", address="10.0.0.101", weight="3")),
        ("fd00::1", DraftServer(name="fd00--1", address="fd00::1")),
        ("web1 fd00::1 10.0.0.101", DraftServer(name="web1", address="10.0.0.101", address6="fd00::1")),
        ("web1.example.com", DraftServer(name="web1.example.com", address="web1.example.com")),
        ("10.0.0.101 web1 web1.example.com", DraftServer(name="web1", address="10.0.0.101")),
        ("web1 10.0.0.101/24", DraftServer(name="web1", address="10.0.0.101/24")),
        ("web1 10.0.0.300", DraftServer(name="web1", address="10.0.0.300")),
    ],
)
def test_one_line_of_a_list(line: str, server: DraftServer) -> None:
    imported = plain.parse(line)
    assert imported.servers == [server]
    assert imported.notes == []


def test_several_addresses_on_one_line_are_noted() -> None:
    imported = plain.parse("# list\n\nweb1 10.0.0.1\nweb2 10.0.0.2 10.0.0.3\na b c\nweb4 10.0.0.4\nweb5\n")
    assert pairs(imported) == [("web1", "10.0.0.1"), ("web4", "10.0.0.4"), ("web5", "web5")]
    assert [note.partition(" was")[0] for note in imported.notes] == ["Line 4", "Line 5"]


def test_a_server_listed_twice_is_taken_once() -> None:
    imported = plain.parse("web1 10.0.0.1\nWEB1 10.0.0.2\n")
    assert pairs(imported) == [("web1", "10.0.0.1")]
    assert "twice" in imported.notes[0]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_with_columns_in_any_order(separator: str) -> None:
    text = """IP,Name,Rack,Weight,User,Port,vip_interface,vips
10.0.0.1,web1,r1,5,root,2222,dummy0,10.0.0.10 10.0.0.11
,web2,,,,,,
,,,1,,,,
"""
    imported = plain.parse(text.replace(",", separator))
    assert imported.servers[0] == DraftServer(
        name="web1",
        address="10.0.0.1",
        weight="5",
        user="root",
        port="2222",
        vip_interface="dummy0",
        vips=["10.0.0.10", "10.0.0.11"],
    )
    assert pairs(imported)[1:] == [("web2", "web2")]
    assert '"Rack"' in imported.notes[0]
    assert "Line 4" in imported.notes[1]


def test_an_ini_inventory_with_groups_ranges_and_variables() -> None:
    imported = ansible.parse(INI)
    assert pairs(imported) == [
        ("web01.example.com", "web01.example.com"),
        ("web02.example.com", "web02.example.com"),
        ("web03.example.com", "web03.example.com"),
        ("db1", "10.0.0.9"),
        ("10.0.0.30", "10.0.0.30"),
        ("win1", "10.0.0.31"),
    ]
    assert [server.user for server in imported.servers] == ["deploy", "deploy", "deploy", "site", "site", "site"]
    assert named(imported, "db1").port == "2222"
    assert named(imported, "db1").identity_file == "~/.ssh/site key"
    assert named(imported, "win1").connect == "winrm"


def test_the_groups_to_choose_from() -> None:
    assert ansible.groups(INI) == ["all", "web", "mail", "site"]
    assert pairs(ansible.parse(INI, "mail")) == [("10.0.0.30", "10.0.0.30"), ("win1", "10.0.0.31")]
    assert len(ansible.parse(INI, "site").servers) == 6
    assert [server.name for server in ansible.parse(INI, "mail, db*").servers] == ["10.0.0.30", "win1", "db1"]
    assert '"none"' in ansible.parse(INI, "none").notes[0]


def test_a_yaml_inventory_with_nested_groups() -> None:
    imported = ansible.parse(YAML)
    assert pairs(imported) == [("lone", "10.0.0.1"), ("web1", "web1"), ("web2", "10.0.0.2"), ("web9", "web9")]
    assert [server.user for server in imported.servers] == ["root", "web", "canary", "web"]
    assert named(imported, "lone").port == ""
    assert any("template" in note for note in imported.notes)


@pytest.mark.parametrize("text", [INI, YAML])
def test_passwords_are_not_taken_over(text: str) -> None:
    imported = ansible.parse(text)
    assert any("asks for them" in note for note in imported.notes)
    assert "hunter2" not in repr(imported)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "all: &a\n  children: {x: *a, all: *a}",
        "all: {hosts: [1, {}, []]}",
        "all: !!python/object/apply:os.system ['true']",
        "all: !!timestamp 2020-99-99",
        "? [1, 2]\n: x",
        "a: " + "[" * 1500,
        "a: &a {x: 1}\n" + "".join(f"b{n}: &b{n} {{children: {{p: *a, q: *a}}}}\n" for n in range(50)),
        "---\n%",
        "---\n---\n",
        "all: {children: {a: {children: {b: {children: {a: {hosts: {h: }}}}}}}}",
    ],
)
def test_hostile_yaml_is_noted_at_most(text: str) -> None:
    assert isinstance(ansible.parse(text).notes, list)
    assert isinstance(ansible.groups(text), list)


def test_aliases_do_not_multiply() -> None:
    levels = ["a0: &a0 {hosts: {h: }}"]
    levels += [f"a{n}: &a{n} {{children: {{{', '.join(f'c{m}: *a{n - 1}' for m in range(9))}}}}}" for n in range(1, 12)]
    assert [server.name for server in ansible.parse("\n".join(levels)).servers] == ["h"]


def test_a_range_without_end_does_not_fill_the_memory() -> None:
    assert len(ansible.parse("web[0:999999999][0:999999999]\n[a]\nb[1:99][1:99][1:99]\n").servers) <= 10_000


def test_an_ssh_config_gives_the_hosts_of_a_pattern() -> None:
    imported = ssh_config.parse(SSH, "web*")
    assert pairs(imported) == [("web1", "web1.example.com"), ("web2", "web2.example.com"), ("web3", "10.0.0.3")]
    assert [(server.user, server.port) for server in imported.servers] == [
        ("deploy", "2222"),
        ("deploy", "2222"),
        ("everyone", ""),
    ]
    assert named(imported, "web1").identity_file == "~/.ssh/my key"
    assert [note for note in imported.notes if "Include" in note]
    assert named(ssh_config.parse(SSH), "db1").user == "nobody"


def test_an_ssh_config_is_read_with_its_includes_and_what_leads_to_a_host_is_told() -> None:
    files = {"conf.d/farm": "Host web1\n  HostName 10.0.0.1\n  Port 2222\n  Include deeper\n", "deeper": "User deep\n"}

    def opener(pattern: str, base: str) -> list[tuple[str, str]]:
        assert base == "/home/me/.ssh/config"
        return [(pattern, files[pattern])] if pattern in files else []

    text = """Include conf.d/farm nowhere
Host web2
  HostName 10.0.0.2
  ProxyJump ops@bastion
  ProxyCommand sshpass -p hunter2 ssh -W %h:%p bastion
  ForwardAgent yes
Match exec "id > /tmp/x" host web2
  User wrong
Match host 10.0.0.2
  User right
"""
    found = read(text, "/home/me/.ssh/config", opener=opener)
    assert [(one.name, one.address, one.port, one.user) for one in found.servers] == [
        ("web1", "10.0.0.1", "2222", "deep"), ("web2", "10.0.0.2", "", "right"),
    ]  # fmt: skip
    told(
        found, '"nowhere" (line 1), because there is no such file', "ProxyJump ops@bastion of web2",
        "ProxyCommand of web2", "Match exec (line 7)", "forwardagent",
    )  # fmt: skip
    assert "hunter2" not in repr(found)


def test_an_import_and_a_connection_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "none" / "ssh_config")
    own = tmp_path / ".ssh" / "config"
    own.parent.mkdir()
    (own.parent / "more").write_text("Host web*\n  User more\n")
    own.write_text("Include more\n" + SSH.replace("Include ~/.ssh/other\n", ""))
    for server in read(own.read_text(), str(own), opener=included).servers:
        settings = config.lookup(server.name)
        assert server.user == settings["user"][0].text
        assert server.port == (settings["port"][0].text if "port" in settings else "")


def test_includes_in_a_circle_end() -> None:
    found = read("Include a\nHost web1\n", "/x/config", opener=lambda pattern, base: [("a", "Include a\nUser u\n")])
    assert [(one.name, one.user) for one in found.servers] == [("web1", "u")]
    told(found, "include each other too deeply")


def test_ssh_patterns_exclude_and_list() -> None:
    assert [server.name for server in ssh_config.parse(SSH, "* !web*").servers] == ["db1"]
    assert [server.name for server in ssh_config.parse(SSH, "db1,web3").servers] == ["web3", "db1"]
    assert ssh_config.hosts(SSH) == ["web1", "web2", "web3", "db1"]
    assert '"mail*"' in ssh_config.parse(SSH, "mail*").notes[-1]


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        (INI, "", "ansible"),
        (YAML, "", "ansible"),
        (YAML, "list.txt", "ansible"),
        ("web1 ansible_host=10.0.0.1", "", "ansible"),
        ("web1\nweb2\n", "hosts.ini", "ansible"),
        (SSH, "", "ssh_config"),
        ("Host web1\n", "config", "ssh_config"),
        ("web1 10.0.0.1\n", "", "plain"),
        ("name,address\nweb1,10.0.0.1\n", "", "plain"),
        ("Host Address\nweb1 10.0.0.1\n", "", "plain"),
        ("fd00::1\n", "", "plain"),
        ("", "", "plain"),
    ],
)
def test_the_kind_of_a_list_is_seen(text: str, name: str, kind: ListKind) -> None:
    assert detect(text, name) == kind


BITS = [
    "[", "]", "\n", " ", ":", "=", ",", "#", "web1", "10.0.0.1", "[1:3]", "[a:Z]", "all", "hosts", "children", "vars",
    "\n  ", "Host ", "HostName ", "ansible_host=", '"', "'", "&a ", "*a", "!x", "- ", "{", "}", "|", "<<", "\0",
    "\ud800", "%", "\t",
]  # fmt: skip


@given(st.text(max_size=200) | st.lists(st.sampled_from(BITS), max_size=40).map("".join), st.text(max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_an_importer(text: str, choice: str) -> None:
    kinds: tuple[ListKind | None, ...] = (None, "plain", "ansible", "ssh_config")
    for kind in kinds:
        imported = read(text, "hosts", kind, choice)
        assert all(server.name or server.address for server in imported.servers)
        assert all(harmless(note) for note in imported.notes)
        assert len({server.name.lower() for server in imported.servers}) == len(imported.servers)
    ansible.groups(text)
    ssh_config.hosts(text)


def test_a_windows_host_of_an_inventory_brings_its_winrm_settings() -> None:
    text = """
[web]
web1.corp.example ansible_host=10.0.0.101 ansible_port=5985
web2 ansible_host=10.0.0.102 ansible_winrm_scheme=https ansible_winrm_kerberos_hostname_override=web2.corp.example
web3 ansible_host=10.0.0.103 ansible_winrm_transport=credssp
[web:vars]
ansible_connection=winrm
ansible_winrm_transport=kerberos
ansible_winrm_service=HTTP
"""
    found = ansible.parse(text)
    assert [(one.dns_name, one.winrm, one.auth, one.kerberos_service) for one in found.servers] == [
        ("web1.corp.example", "http", "kerberos", "HTTP"),
        ("web2.corp.example", "https", "kerberos", "HTTP"),
        ("", "https", "ntlm", ""),
    ]
    assert any("credssp" in note for note in found.notes)


def told(found: Imported, *words: str) -> None:
    for each in words:
        assert any(each in note for note in found.notes), (each, found.notes)


def test_what_leads_to_a_host_and_cannot_be_imported_is_told() -> None:
    text = """
[web]
app[1:2] ansible_host=10.0.0.1
app3 ansible_host=10.0.0.3 ansible_ssh_extra_args="-J jump9 -i ~/.ssh/k"
app4 ansible_ssh_common_args="-o ProxyCommand='sshpass -p hunter2 ssh -W %h:%p bastion'" ansible_become_method=su
app5 ansible_connection=network_cli http_port=80
[web:vars]
ansible_ssh_common_args='-o ProxyJump=ops@bastion:2200 -o StrictHostKeyChecking=no'
"""
    found = ansible.parse(text)
    told(
        found, "ProxyJump ops@bastion:2200 of app1, app2, app3", "ProxyJump jump9 of app3", "ProxyCommand of app4",
        "StrictHostKeyChecking", "the argument -i of ssh of app3", "ansible_become_method su", "network_cli",
        "http_port",
    )  # fmt: skip
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("variables", "given"),
    [
        ("ansible_port=5985", ("winrm", "http", "ntlm")),
        ("ansible_port=5986", ("winrm", "https", "ntlm")),
        ("ansible_winrm_scheme=http", ("winrm", "http", "ntlm")),
        ("ansible_winrm_scheme=HTTP ansible_connection=winrm ansible_port=5986", ("winrm", "http", "ntlm")),
        ("ansible_winrm_transport=kerberos", ("winrm", "https", "kerberos")),
        ("ansible_connection=ansible.builtin.winrm ansible_winrm_transport=ssl", ("winrm", "https", "basic")),
        ("ansible_connection=psrp ansible_psrp_protocol=http ansible_psrp_auth=negotiate", ("winrm", "http", "ntlm")),
        ("ansible_connection=ssh ansible_port=22", ("ssh", "https", "ntlm")),
    ],
)
def test_how_a_windows_host_is_reached(variables: str, given: tuple[str, str, str]) -> None:
    for text in (f"[w]\nw1 ansible_host=10.0.0.1 {variables}\n",
                 "all:\n hosts:\n  w1:\n   ansible_host: 10.0.0.1\n"
                 + "".join(f"   {one.replace('=', ': ')}\n" for one in variables.split())):  # fmt: skip
        (server,) = read(text).servers
        assert (server.connect, server.winrm, server.auth) == given


def test_exports_in_json_are_inventories() -> None:
    listed = """{"_meta": {"hostvars": {"app1": {"ansible_host": "10.0.0.1", "ansible_port": 2222}, "app2": {}}},
 "all": {"children": ["ungrouped", "web"]}, "web": {"hosts": ["app1", "app2"], "vars": {"ansible_user": "ops"}}}"""
    found = read(listed)
    assert [(one.name, one.address, one.port, one.user) for one in found.servers] == [
        ("app1", "10.0.0.1", "2222", "ops"), ("app2", "app2", "", "ops"),
    ]  # fmt: skip
    awx = r"""{"inventory": [{"name": "farm", "variables": "ansible_user: root", "related": {
 "hosts": [{"name": "app1", "enabled": true, "variables": "---\nansible_host: 10.0.0.1\nansible_password: hunter2\n"},
           {"name": "app2", "enabled": true, "variables": "{\"ansible_host\": \"10.0.0.2\"}"},
           {"name": "old", "enabled": false, "variables": ""}],
 "groups": [{"name": "web", "variables": "", "related": {"hosts": [{"name": "app2", "type": "host"}]}}]}}]}"""
    found = read(awx)
    assert [(one.name, one.address, one.user) for one in found.servers] == [
        ("app1", "10.0.0.1", "root"), ("app2", "10.0.0.2", "root"),
    ]  # fmt: skip
    assert [one.name for one in read(awx, choice="web").servers] == ["app2"]
    assert "hunter2" not in repr(found)
    told(found, "asks for them")


def test_hosts_that_are_the_same_are_told() -> None:
    told(ansible.parse("app[1:2] ansible_host=10.0.0.1\n"), "app1, app2 have the same address 10.0.0.1")
    found = ssh_config.parse(
        "Host web1 web1.example.com\n HostName 10.0.0.1\nHost web2\n HostName 10.0.0.1\n Port 2222\n"
    )
    assert [one.name for one in found.servers] == ["web1", "web2"]
    told(found, "web1.example.com, because it is web1 by another name")


def test_settings_of_an_inventory_plugin_are_none() -> None:
    found = read("plugin: aws_ec2\nregions: [eu-central-1]\nhostnames:\n  - tag:Name\n", "aws_ec2.yml")
    assert found.servers == []
    told(found, "ansible-inventory --list")


@pytest.mark.parametrize("path", ["a\0b", "half \ud800"])
def test_what_is_no_path_cannot_be_read_and_is_no_defect(path: str) -> None:
    with pytest.raises(OSError, match="it is not a valid path"):
        brought(Path(path))
