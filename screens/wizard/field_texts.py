"""The texts of the wizard's fields: label, one-line hint, longer help, example value."""

from __future__ import annotations

from screens.widgets.field import Characters, FieldText

_NUMBER = Characters(r"[0-9]*", "Only digits go here.")
_NO_SPACE = Characters(r"\S*", "No blanks here.")

NAME = FieldText(
    "Name",
    "Used in file names here and on the servers. Do not change it after apply.",
    "Any name you like for this deployment: letters, digits, - _ and dot. Files on the real servers contain it "
    "(dsrwizard-NAME), and `dsrwizard status` and `teardown` use it to find what was done. Two deployments need two "
    "names.",
    "shop",
    _NO_SPACE,
    63,
)
VIP = FieldText(
    "VIP address",
    "Clients connect here. The director answers ARP for it; real servers do not.",
    "The service address (VIP), IPv4 or IPv6, without a prefix length. It is always configured as /32 (IPv6: /128); "
    "with a shorter prefix, hosts would take its whole network to be on that interface. It must be free: no host "
    "may own it, and no DHCP range may contain it. It can be outside the servers' network if the router routes it "
    "to the director.\n\nOnce the director's interface is known, dsrwizard asks on the network who has this "
    "address, and warns you if another machine answers.",
    "10.0.0.10",
    _NO_SPACE,
    45,
)
PROTOCOL = FieldText(
    "Protocol",
    "tcp for connections (web, mail); udp for datagrams (DNS, TFTP, streaming).",
    "IPVS tracks connections for tcp and recent senders for udp. A service that uses both, such as DNS, needs one "
    "entry for each.",
)
PORT = FieldText(
    "Port",
    "The same on VIP and real servers: direct routing cannot change the port.",
    "The port that clients use, 1 to 65535. The application on the real server must listen on this same port, on "
    "the VIP or on all addresses. A product that maps port 80 to 8080 uses NAT or a proxy; Direct Server Return "
    "cannot do that.",
    "80",
    _NUMBER,
    5,
)
SCHEDULER = FieldText(
    "Scheduler",
    "Decides which real server gets the next connection.",
    "wlc (weighted least connections) is right for most services. rr and wrr ignore how busy a server is. sh and mh "
    "keep a client on the same server without a table. In Direct Server Return the director sees no replies, so its "
    "connection counts are estimates: after the client's FIN it waits for a timeout.",
)
PERSISTENCE = FieldText(
    "Persistence",
    "Seconds a client stays on its server; 0 = off. Long values skew the load.",
    "All connections from one client address go to the same real server until this many seconds after the last one. "
    "Use it if the application keeps sessions on one server. Clients behind the same NAT count as one client. At "
    "most 2678400 (31 days).",
    "0",
    _NUMBER,
    7,
)
INTERFACE = FieldText(
    "Interface",
    "Gets the VIP. Real servers must be in its layer-2 network, without a router.",
    "The director's interface in the real servers' network. The director reaches each server by its MAC address, so "
    "a router between them breaks direct routing. The VIP is added here as /32 and announced by gratuitous ARP.",
    "eth0",
    _NO_SPACE,
    15,
)
ENGINE = FieldText(
    "Load balancer",
    "One director, two of which one stands by, or another product in front.",
    "This machine: the kernel's IPVS here is the load balancer, and the only one. dsrwizard sets up the VIP, services "
    "and destinations over netlink. While this machine restarts, nobody is served.\n\nThis machine and a second "
    "director: keepalived on both owns VIP and IPVS table. One director serves and the other takes over when it dies "
    "(VRRP). dsrwizard writes keepalived's files here and, by SSH, there. keepalived must be installed on both."
    "\n\nBoth need root and the kernel module ip_vs.\n\nNetScaler and Loadbalancer.org are set up over their own API, "
    "with the exact calls in the review before anything is sent. ALOHA, Barracuda and any other are set up by hand: "
    "the key l on Review writes their steps. With each of these this machine is only a host in the servers' network: "
    "the real servers are set up, and every check that does not need the director's kernel runs as usual. Nothing on "
    "this machine is changed.",
)
BALANCER_ADDRESS = FieldText(
    "Managed at",
    "dsrwizard speaks HTTPS with it here. Its certificate is shown to you first.",
    "The appliance's own address for its management: of a NetScaler the NSIP. It is not the VIP. The certificate is "
    "shown once with its fingerprint, unless an authority that this machine trusts has signed it, and then pinned: "
    "another one is refused. The password is sent after that.",
    "10.1.0.5",
    _NO_SPACE,
    45,
)
BALANCER_SECOND = FieldText(
    "Its pair at",
    "Empty: it has none. Of a NetScaler pair, the primary is found.",
    "The management address of the other one of a pair. Of two NetScalers the primary is found, and nothing is written "
    "to a secondary. Of two Loadbalancer.org appliances, write the active one first.",
    "",
    _NO_SPACE,
    45,
)
BALANCER_USER = FieldText(
    "Log in as",
    "The password is asked for when it is needed, and is not kept.",
    "A user of the appliance. On a NetScaler it needs the command policy network or superuser. On a Loadbalancer.org "
    "it is the user of its API, which also has a key that is asked for.",
    "dsrwizard",
    _NO_SPACE,
    64,
)
BALANCER_PORT = FieldText(
    "HTTPS port",
    "Empty: 443 on a NetScaler, 9443 on a Loadbalancer.org.",
    "The port of its HTTPS management. Port 80 is refused: it would carry the password in clear text.",
    "",
    _NUMBER,
    5,
)
BALANCER_CA = FieldText(
    "CA file",
    "Empty: decided by the fingerprint, where no trusted authority signed it.",
    "A file with the certificate of the authority that signed the appliance's certificate, in PEM form.",
)
PEER_NAME = FieldText(
    "Second: name",
    "The other director's name in the plan, the log and the live pane.",
    "Letters, digits, - _ and dot, at most 63 characters; its own among directors and real servers.",
    "lb2",
    _NO_SPACE,
    63,
)
PEER_ADDRESS = FieldText(
    "Its address",
    "Its own address here. dsrwizard logs in there; VRRP is spoken with it.",
    "The other director's own IP address in the real servers' network, not the VIP. A machine that is also a real "
    "server cannot be a director: packets would go round between the two.",
    "10.0.0.3",
    _NO_SPACE,
    45,
)
PEER_INTERFACE = FieldText(
    "Its interface",
    "Empty: of the same name as this machine's.",
    "The other director's interface in the real servers' network. It gets the VIP when that director serves.",
    "",
    _NO_SPACE,
    15,
)
GUARD = FieldText(
    "Dead servers",
    "No: a server that dies goes on getting clients until somebody drains it.",
    "Yes: a service of this machine, the guard, proves each server through the VIP twice a second. It gives a server "
    "that is proved dead no new clients, and lets it in again once it answers. Half of each service's servers stay in "
    "whatever happens, and where nothing answers at all it changes nothing. What you drain stays drained.\n\nNo: only "
    "you take servers out, in the live pane. `dsrwizard watch` and the metrics show you that one is dead.",
)
SERVER_NAME = FieldText(
    "Name",
    "Its name in the plan, the log and the live pane. It need not be the host name.",
    "Letters, digits, - _ and dot, at most 63 characters. `director` and `client` are reserved.",
    "web1",
    _NO_SPACE,
    63,
)
SERVER_ADDRESS = FieldText(
    "Address (RIP)",
    "Its own address. dsrwizard logs in there; the director sends to its MAC.",
    "The real server's own IP address (RIP) in the director's network. Do not enter a host name (IPVS needs the "
    "address) or the VIP (all servers share it).",
    "10.0.0.101",
    _NO_SPACE,
    255,
)
SERVER_ADDRESS6 = FieldText(
    "IPv6 address",
    "Only for IPv6 VIPs on a server reached by IPv4. Otherwise leave it empty.",
    "Direct routing cannot mix address families. For an IPv6 VIP, enter the server's own IPv6 address here.",
    "",
    _NO_SPACE,
    45,
)
WEIGHT = FieldText(
    "Weight",
    "Twice the weight, twice the share. 0: no new connections until you restore it.",
    "0 to 65535, relative to the other servers' weights. A server stays at 0 during setup. It gets this weight once "
    "the VIP is proved to answer through it.",
    "1",
    _NUMBER,
    5,
)
CONNECT = FieldText(
    "Connection",
    "ssh, winrm: dsrwizard sets it up. manual: you set it up from a runbook.",
    "ssh: Linux real servers, as root or with sudo. winrm: Windows Server 2008 to 2025, as an administrator. "
    "manual: you set the server up from a runbook that has your addresses filled in; this also covers Windows "
    "Server 2003. The network checks run as usual.",
)
USER = FieldText(
    "User",
    "Needs root or sudo there. Empty: user from ~/.ssh/config, else your own name.",
    "The login on the server. If it is not root, dsrwizard uses sudo and asks for the password when needed. "
    "Passwords are never stored.",
    "root",
    _NO_SPACE,
    64,
)
SSH_PORT = FieldText(
    "SSH port",
    "The SSH port, not the service's. Empty: port from ~/.ssh/config, else 22.",
    "The port on which the server's sshd listens.",
    "22",
    _NUMBER,
    5,
)
IDENTITY = FieldText(
    "Key file",
    "Empty: tries your agent and the keys in ~/.ssh, as ssh does.",
    "Path of a private key. dsrwizard asks for the passphrase when needed and never stores it.",
    "~/.ssh/id_ed25519",
)
WINDOWS_USER = FieldText(
    "User",
    "An administrator: DOM\\user, user@domain or local. Empty: Administrator.",
    "Must be an administrator on the server. The password is asked for, never stored. A local account, or a domain "
    "account (DOM\\user, user@domain). The built-in account (its SID ends in -500) is called Administrator on English "
    "servers only: on others, enter its name. With kerberos, leave it empty to use the account of the ticket.\n\n"
    "Over the network, a local account other than the built-in Administrator gets a filtered token and cannot change "
    "anything. The error message then says what to set.",
    "administrator",
    _NO_SPACE,
    104,
)
WINRM = FieldText(
    "Transport",
    "F3 tries both ports. F2: what to paste on the server so that it answers.",
    "https proves the server's identity. http is encrypted, but NTLM does not prove it.\n\n"
    "https: the server's certificate is checked against this machine's CAs or the CA file. If it is not trusted, "
    "dsrwizard shows its fingerprint and you decide. http: only with NTLM or Kerberos, which encrypt every message; "
    "anything weaker is refused.",
)
WINRM_PORT = FieldText(
    "WinRM port",
    "The WinRM port, not the service's port. Empty: 5986 for https, 5985 for http.",
    "The port of the server's WinRM listener. Run `winrm enumerate winrm/config/listener` on the server to see it.",
    "5986",
    _NUMBER,
    5,
)
AUTH = FieldText(
    "Login method",
    "ntlm works for most. kerberos needs a ticket. basic works only over https.",
    "ntlm: a local or domain account and its password. kerberos: a domain account; the ticket comes from this "
    "machine's cache (kinit user@REALM, as the user that runs dsrwizard). No user then means the ticket's.\n\nbasic: a "
    "local account; the password is sent inside TLS. Basic is off by default on Windows and must be enabled there.",
)
DNS_NAME = FieldText(
    "Full name",
    "Its name in certificate and Kerberos, like web1.corp.example. May be empty.",
    "The connection always goes to the address above. A certificate that a trusted CA signed for this name needs no "
    "question, also after it is renewed. Kerberos knows servers by name only: without one here, the name comes from "
    "reverse DNS. Leave it empty if the certificate is self-signed and the login is ntlm.",
    "web1.corp.example",
    _NO_SPACE,
    253,
)
CA_FILE = FieldText(
    "CA file",
    "The CA that signed its certificate. Empty: the CAs this machine trusts.",
    "Path of a file with CA certificates (PEM). It can also be the server's own self-signed certificate.",
    "~/ca.pem",
)
WINDOWS_ADAPTER = FieldText(
    "VIP interface",
    "dsrwizard installs its own adapter unattended and removes it at teardown.",
    "dsrwizard adds a Microsoft loopback adapter named dsrwizard. It holds the VIP out of the network's sight; "
    "other loopback adapters are left alone. The built-in Loopback Pseudo-Interface 1 needs no installation: use it "
    "if policy forbids new devices.",
)
SYSTEM = FieldText(
    "System",
    "Chooses which commands the runbook shows.",
    "The server's operating system. The runbook (h in review, apply and verify) shows the commands for it with your "
    "addresses filled in. Windows Server 2003 can only be set up this way.",
)
VIP_INTERFACE = FieldText(
    "VIP interface",
    "Usually lo. Use a dummy interface (dsr0) if other software manages lo.",
    "The interface on the real server that holds the VIP without announcing it: lo, or the name of a dummy "
    "interface to create (dsr0). Never use a network card: the server would then claim the VIP on the network.",
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
    "Optional: a host in the clients' network, for the end-to-end check.",
    "A Linux host reached by SSH. It should be outside the servers' network if your clients are. dsrwizard pings "
    "the VIP from there and connects to it. The director and the real servers cannot do this: they hold the VIP "
    "themselves.",
    "203.0.113.10",
    _NO_SPACE,
    45,
)
CLIENT_USER = FieldText(
    "Client user",
    "Any login works. Nothing is changed on the client host.",
    "The login on the client host. Empty: the user from ~/.ssh/config, else your own name.",
    "root",
    _NO_SPACE,
    64,
)
