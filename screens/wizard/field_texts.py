"""What each field of the wizard says about itself: label, one line of consequence, longer help, an example."""

from __future__ import annotations

from screens.widgets.field import FieldText

_NUMBER = r"[0-9]*"
_NO_SPACE = r"\S*"

NAME = FieldText(
    "Name",
    "Names this deployment's files here and on the servers: keep it once applied.",
    "A word of your own for this deployment: letters, digits, - _ and dot. Files on the real servers carry it "
    "(dsrwizard-NAME), and `dsrwizard status` and `teardown` find by it what was done. Two deployments need two names.",
    "shop",
    _NO_SPACE,
    63,
)
VIP = FieldText(
    "VIP address",
    "Clients connect here: the director answers, real servers hold it silently.",
    "The service address (VIP), IPv4 or IPv6, without prefix: it is always held as /32 (IPv6: /128), or hosts would "
    "think that its whole network is behind it. It must be free: neither a host's own address nor in a DHCP range. It "
    "may lie outside the servers' network when the router sends it to the director.\n\nOnce the director's interface "
    "is known, dsrwizard asks on the wire who has this address, and warns when somebody answers.",
    "10.0.0.10",
    _NO_SPACE,
    45,
)
PROTOCOL = FieldText(
    "Protocol",
    "tcp for connections (web, mail); udp for datagrams (DNS, TFTP, streaming).",
    "IPVS keeps a table of connections for tcp and of recent senders for udp. A service that uses both, like DNS, "
    "needs one entry for each.",
)
PORT = FieldText(
    "Port",
    "The same on VIP and real servers: direct routing cannot change a port.",
    "The port clients use, 1 to 65535. The real server's application must listen on this very port, and on the VIP or "
    "on all addresses. A product that maps port 80 to 8080 is doing NAT or is a proxy; with Direct Server Return it "
    "cannot be done.",
    "80",
    _NUMBER,
    5,
)
SCHEDULER = FieldText(
    "Scheduler",
    "Decides which real server gets the next connection.",
    "wlc (weighted least connections) is right for most services. rr and wrr ignore how busy a server is. sh and mh "
    "keep one client on one server without any table. The director sees no replies in Direct Server Return, so its "
    "counts of open connections are estimates: after a FIN from the client it lets them time out.",
)
PERSISTENCE = FieldText(
    "Persistence",
    "Seconds a client stays on its server; 0 = off. Long spreads load unevenly.",
    "All connections of one client address go to the same real server until this many seconds after the last one. "
    "Needed when the application keeps sessions on one server. Clients behind one NAT count as one client. "
    "At most 2678400 (31 days).",
    "0",
    _NUMBER,
    7,
)
INTERFACE = FieldText(
    "Interface",
    "Gets the VIP. Real servers must be on its layer 2, with no router between.",
    "The director's interface in the real servers' network. The director reaches each server by its MAC address, so a "
    "router between them breaks direct routing. The VIP is added here as /32, and announced here by gratuitous ARP.",
    "eth0",
    _NO_SPACE,
    15,
)
ENGINE = FieldText(
    "Who balances",
    "Another product: nothing here is changed; servers are set up and proved.",
    "netlink: the kernel's own IPVS on this machine is the load balancer; dsrwizard sets up VIP, services and "
    "destinations here. This needs root and the module ip_vs.\n\nexternal: another product balances "
    "(NetScaler, ALOHA, Barracuda, Loadbalancer.org and so on). This machine is then only a host in the servers' "
    "network: the real servers are set up and every check that does not need the director's kernel runs the same. "
    "Nothing on this machine is changed.",
)
SERVER_NAME = FieldText(
    "Name",
    "What it is called in plan, log and live pane; need not be its host name.",
    "Letters, digits, - _ and dot, at most 63. `director` and `client` are taken.",
    "web1",
    _NO_SPACE,
    63,
)
SERVER_ADDRESS = FieldText(
    "Address (RIP)",
    "Its own address: dsrwizard logs in there, the director sends to its MAC.",
    "The real server's own IP address (RIP) in the director's network. Not a host name, because IPVS needs the "
    "address, and not the VIP, which all servers share.",
    "10.0.0.101",
    _NO_SPACE,
    255,
)
SERVER_ADDRESS6 = FieldText(
    "IPv6 address",
    "Only for IPv6 VIPs on a server reached by IPv4; otherwise leave it empty.",
    "Direct routing stays within one address family: for an IPv6 VIP the server needs an IPv6 address of its own here.",
    "",
    _NO_SPACE,
    45,
)
WEIGHT = FieldText(
    "Weight",
    "Twice the weight, twice the share. 0: no new connections until you restore it.",
    "0 to 65535, compared with the other servers' weights. While a server is set up it stands at 0; it gets this "
    "weight only when the VIP has been proved to answer through it.",
    "1",
    _NUMBER,
    5,
)
CONNECT = FieldText(
    "Reached by",
    "ssh, winrm: dsrwizard sets it up. manual: you do, by a runbook that it writes.",
    "ssh: Linux real servers, as root or with sudo. winrm: Windows Server 2008 to 2025, as an administrator. manual: "
    "you set the server up by a runbook with your addresses filled in, also Windows Server 2003; checks on the wire "
    "run the same.",
)
USER = FieldText(
    "User",
    "Needs root or sudo there. Empty: as ~/.ssh/config says, else your own name.",
    "The login on the server. Not root: sudo is used, and its password asked for when needed. Passwords are never "
    "stored.",
    "root",
    _NO_SPACE,
    64,
)
SSH_PORT = FieldText(
    "SSH port",
    "The port of SSH, not of the service. Empty: what ~/.ssh/config says, else 22.",
    "The port on which the server's sshd listens.",
    "22",
    _NUMBER,
    5,
)
IDENTITY = FieldText(
    "Key file",
    "Empty: your agent and the keys of ~/.ssh are tried, as ssh does.",
    "Path of a private key. A passphrase is asked for when it is needed and never stored.",
    "~/.ssh/id_ed25519",
)
WINDOWS_USER = FieldText(
    "User",
    "Must be an administrator there. The password is asked for, never stored.",
    "A local account (administrator) or one of the domain (DOM\\user, user@dom). A local account other than the "
    "built-in Administrator gets a filtered token over the network, which may change nothing; the message that says "
    "so also says what to set.",
    "administrator",
    _NO_SPACE,
    104,
)
WINRM = FieldText(
    "Transport",
    "https proves who the server is; http is sealed, too, but does not.",
    "https: the server's certificate is checked against this machine's CAs or the CA file; one that is not trusted is "
    "shown with its fingerprint, and you decide. http: only with NTLM or Kerberos, which seal every message; anything "
    "weaker is refused.",
)
WINRM_PORT = FieldText(
    "WinRM port",
    "The port of WinRM, not of the service. Empty: 5986 for https, 5985 for http.",
    "The port on which the server's WinRM listener waits. `winrm enumerate winrm/config/listener` shows it there.",
    "5986",
    _NUMBER,
    5,
)
AUTH = FieldText(
    "Login by",
    "ntlm works for most. kerberos needs a ticket. basic only inside https.",
    "ntlm: a local or domain account and its password. kerberos: a domain account; the ticket comes from this "
    "machine's cache (kinit). basic: a local account; the password goes to the server inside TLS, and Windows has "
    "Basic switched off unless somebody allowed it.",
)
CA_FILE = FieldText(
    "CA file",
    "The CA that signed its certificate. Empty: the CAs this machine trusts.",
    "Path of a file with CA certificates (PEM). A self-signed certificate of the server itself can stand here, too.",
    "~/ca.pem",
)
WINDOWS_ADAPTER = FieldText(
    "VIP goes on",
    "Our own adapter is installed unattended and removed again at teardown.",
    "A Microsoft loopback adapter of our own, named dsrwizard, holds the VIP where the network does not see it; those "
    "of others are left alone. The built-in Loopback Pseudo-Interface 1 needs no installation: for servers where "
    "policy forbids new devices.",
)
SYSTEM = FieldText(
    "System",
    "Its runbook is written for it: other commands, other windows.",
    "What the server runs. The runbook (h in review, apply and verify) has its commands with your addresses filled in. "
    "Windows Server 2003 can only be set up this way.",
)
VIP_INTERFACE = FieldText(
    "VIP goes on",
    "lo is right for most; a dummy interface (dsr0) where something manages lo.",
    "The interface on the real server that holds the VIP in silence: lo, or the name of a dummy interface that is "
    "created (dsr0). Never a network card: on one, the server would claim the VIP in the network.",
    "lo",
    _NO_SPACE,
    15,
)
SERVED_VIPS = FieldText(
    "Serves",
    "A server gets only the VIPs it serves.",
    "With several VIPs, choose which of them this server serves. All is the default.",
)
CLIENT_ADDRESS = FieldText(
    "Client host",
    "Optional: a host where clients stand, for the check from end to end.",
    "A Linux host reached by SSH, outside the servers' network if clients are. dsrwizard pings the VIP from there and "
    "connects to it. Neither the director nor a real server can stand in: they hold the VIP themselves.",
    "203.0.113.10",
    _NO_SPACE,
    45,
)
CLIENT_USER = FieldText(
    "Client user",
    "Any login will do there; nothing is changed on the client host.",
    "The login on the client host. Empty: what ~/.ssh/config says, else your own name.",
    "root",
    _NO_SPACE,
    64,
)
