"""The interfaces that the engine needs: hosts, director, wire, operator. Backends and test fakes implement them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from dsrwizard.core.model.answers import Arrival, Arrivals, Claim, Connected, Owners, Ping, Probed, Sent, Talked
from dsrwizard.core.model.balancer_facts import BalancerFacts
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.deployment import Client, Deployment, RealServer, Service
from dsrwizard.core.model.director_facts import DirectorLook
from dsrwizard.core.model.facts import Connection, DirectorFacts, HalfOpenLook, ServerFacts, VirtualService
from dsrwizard.core.model.guarding import GuardState, Holdings
from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.model.progress import StepWatch
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import Step

OnLine = Callable[[str], None]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a script on a host printed, and its exit status."""

    status: int
    stdout: str
    stderr: str


CertificateOf = Literal["windows", "netscaler", "loadbalancer.org", "barracuda"]
SHOW_CERTIFICATES: Mapping[CertificateOf, str] = {
    "windows": r"Get-ChildItem Cert:\LocalMachine\My | ForEach-Object { [BitConverter]::ToString("
    r"[Security.Cryptography.SHA256]::Create().ComputeHash($_.RawData)) -replace '-' }",
    "netscaler": "openssl x509 -noout -fingerprint -sha256 -in /nsconfig/ssl/ns-server.cert",
    "loadbalancer.org": "openssl s_client -connect 127.0.0.1:9443 </dev/null | openssl x509 -noout -fingerprint "
    "-sha256",
    "barracuda": "openssl s_client -connect <ITS ADDRESS>:443 </dev/null | openssl x509 -noout -fingerprint -sha256",
}
"""What prints there the SHA-256 that a `HostKeyQuestion` shows: PowerShell on a Windows host; in a NetScaler's shell,
of the certificate that its management has as shipped; in a Loadbalancer.org's, of the one that its API shows. A
Barracuda has no shell: on a machine beside it."""


class KeyInDns(Protocol):
    """What DNS says of the key that a host shows."""

    def said(self, within: float = 0.0) -> DnsSays | None:
        """Begins to ask at the first call. Waits for at most so many seconds; None: not known yet. From any thread."""
        ...


class HostKeyQuestion(Shown, frozen=True, kw_only=True):
    """An SSH host key nobody has seen before; `fingerprint` as `ssh` prints it (`SHA256:…`).

    Or a TLS certificate, when `untrusted` says in a sentence why it is not trusted: `key_type` then describes it, and
    `fingerprint` is `SHA256:` and 64 hexadecimal digits.
    """

    host: str
    address: str
    key_type: str
    fingerprint: str
    untrusted: str = ""
    certificate_of: CertificateOf = "windows"
    """Which of `SHOW_CERTIFICATES` prints the same fingerprint there. No text: whatever can be put beside a fingerprint
    can pass for one."""
    in_dns: KeyInDns | None = None
    """For an SSH host key whose host is given by name."""


class SecretQuestion(Shown, frozen=True, kw_only=True):
    """A secret is needed. `kind`: login password, key passphrase, sudo, Windows or load balancer's
    password, or the key of that one's API; `detail` says what for.

    `prompt` is a question of the server's own, for a one-time code for instance, and `asked` what it says, in one line
    or several. Show that as the host's words; an answer to it is never used again.

    `refused` is true when an earlier answer to the same question did not work.
    """

    SEVERAL_LINES = frozenset({"asked"})

    kind: Literal["password", "passphrase", "sudo", "windows", "balancer", "api-key", "prompt"]
    host: str
    user: str
    detail: str = ""
    asked: str = ""
    refused: bool = False


class Asker(Protocol):
    """The operator, or a stand-in. Called from worker threads, one question at a time per host.

    Implementations serialise the questions. None and False mean "no": the host then fails with its own message.
    """

    def secret(self, question: SecretQuestion) -> Secret | None: ...

    def accept_key(self, question: HostKeyQuestion) -> bool: ...


class Connector(Protocol):
    """A connection to one host: scripts go in, answers come out.

    `run` raises the errors of `dsrwizard.core.model.errors` (HostError and its kinds). A script runs as root (by
    login or by sudo) in a POSIX shell, comes in over standard input, and is never seen in a process list. `deadline`
    in seconds covers the whole script; over SSH, one that goes on printing lines is let go on, up to four times that.
    `on_line` gets every line of standard output as it arrives.
    """

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer: ...

    def close(self) -> None: ...


class StandingScript(Protocol):
    """A script that runs on a host for as long as somebody wants it to."""

    def sign(self) -> bool:
        """One byte for its standard input, a sign of life. False: it has ended, or its connection has."""
        ...

    def end(self, patience: float) -> None:
        """Ends its standard input, and waits for its end for so many seconds at most."""
        ...


@runtime_checkable
class StandingConnector(Protocol):
    """A connector over which a script can stand beside those that `run`."""

    def stand(
        self, script: str, *, deadline: float, on_line: OnLine, until: Callable[[], bool]
    ) -> StandingScript | None:
        """Starts a script as `Connector.run` does, but with the connection as its standard input, and returns once
        `until` says so. None: it has ended before. `deadline` in seconds until then. Raises what `run` raises."""
        ...


class OpenConnector(Protocol):
    """Opens a connection to a real server or the client host. `host` is its name in messages (`web1`, `client`)."""

    def __call__(self, host: str, target: RealServer | Client, asker: Asker) -> Connector: ...


class ServerPort(Protocol):
    """One real server, however it is reached: facts out, steps in. One connection for its whole life."""

    def observe(self, deployment: Deployment, *, closely: bool = False, clients: Sequence[str] = ()) -> ServerFacts:
        """The facts. `closely`: with routes and listeners and the programs behind them, the way back to `clients` and
        what the next boot sets; what a plan needs is less."""
        ...

    def apply(self, steps: Sequence[Step], watch: StepWatch, revert_after: float = 0.0) -> ServerFacts | None:
        """Carries the steps out in order, stops at the first that fails, and looks again.

        `revert_after` above 0: before anything of its network is touched, the host is told to take these steps back by
        itself so many seconds after the last of them began, unless `keep` comes first; the watch is told so
        (`StepWatch.armed`). Steps that write files alone arm nothing. A revert that an earlier run armed is over as
        soon as this begins.

        Returns the facts afterwards (None where they could not be read). Raises ConnectionLost and CommandFailed.
        """
        ...

    def keep(self) -> None:
        """What was applied stays: the host's revert, of this run or an earlier one, is disarmed. Nothing to do where
        none is armed. Raises HostError where that is not certain: then the host may take the steps back."""
        ...

    def hold(self, holder: str) -> str | None:
        """Takes the host's lock for a run, until `let_go` or the end of the connection; a connection that has to be
        opened again takes it again. `holder` is one line about the run, the same for the whole of it.

        None: the run has it now, or this host has no lock to give. Otherwise another run has it, and this is its line,
        empty where it is not known. Raises what opening the connection raises.
        """
        ...

    def let_go(self, holder: str) -> None:
        """Gives the lock back, where this run has it. Raises nothing."""
        ...

    def clear_note(self) -> None:
        """Removes what a revert has left on the host that is over: the note of what it did, and one that a reboot has
        ended. Raises HostError."""
        ...

    def half_open(self, sources: Sequence[str], expected: int, ready: Callable[[], None]) -> HalfOpenLook:
        """Looks for half-open connections from these addresses for a second and a half, less when as many as expected
        were seen.

        `ready` is called when the looking begins, in the midst of it: it sends the packets looked for and must not
        raise. Without sources: what is half-open now, and nobody is waited for. Changes nothing; raises HostError.
        """
        ...

    def close(self) -> None: ...


class DirectorPort(Protocol):
    """This machine's own network and IPVS. Every method raises DsrError with what to do next."""

    def observe(self, deployment: Deployment) -> DirectorFacts: ...

    def apply(self, step: Step) -> None:
        """Carries out one step's changes in order; on an error those already made are taken back."""
        ...

    def ready(self) -> None:
        """Loads what changes need, so that one that is urgent waits for nothing."""
        ...

    def services(self) -> Sequence[VirtualService]:
        """Every IPVS service with destinations and counters: one dump."""
        ...

    def connections(self) -> Sequence[Connection]:
        """The connections IPVS has in its table now, 100,000 at most; no templates of persistence."""
        ...

    def look(self, deployment: Deployment, lost: Sequence[Arrival] = ()) -> DirectorLook:
        """The director's own path: packet filters, settings, ways to the servers. `lost`: packets that came in and are
        asked about; without them it is asked what becomes of a client's elsewhere. Changes nothing."""
        ...

    def save(self, deployment: Deployment) -> None:
        """Brings the file that `dsrwizard restore` reads up to date, where the deployment has one."""
        ...

    def set_weight(self, service: ServiceKey, address: str, port: int, weight: int) -> None: ...

    def holdings(self, deployment: Deployment) -> Holdings:
        """Which of its VIPs this machine has, and whether keepalived runs: cheap enough for every few seconds."""
        ...

    def sign(self, name: str, *, up: bool) -> None:
        """The dummy interface of that name is there and up, or it is not there; nothing is done where it is so."""
        ...

    def guard(self, deployment: str) -> GuardState | None:
        """What the guard of a deployment says of itself on this machine. Raises nothing: None where there is none, or
        it is not known."""
        ...


class BalancerPort(Protocol):
    """An appliance that balances, by its own API. Every method raises DsrError with what to do next.

    A real server is named by the service (VIP, protocol and port) and its own address there.
    """

    def observe(self, deployment: Deployment) -> BalancerFacts:
        """What it is set to and what it says of the servers, read anew. Changes nothing."""
        ...

    def services(self, deployment: Deployment) -> Sequence[VirtualService]:
        """The deployment's services with real servers, weights (0: kept out) and counters. What it is set to may be
        some seconds old, the counters are not."""
        ...

    def apply(self, deployment: Deployment, step: Step) -> None:
        """Carries out one step's changes in order, by the calls that they need now; on an error those already made
        stand, and the error says so (`DsrError.halfway`)."""
        ...

    def hold(self, deployment: Deployment, service: ServiceKey, address: str) -> None:
        """Keeps a server out: it is there, and gets no clients."""
        ...

    def admit(self, deployment: Deployment, service: ServiceKey, address: str, weight: int) -> None:
        """Lets a server in that was kept out."""
        ...

    def drain(self, deployment: Deployment, service: ServiceKey, address: str) -> None:
        """No new clients for a server; those that it has may go on for a while."""
        ...

    def weight(self, deployment: Deployment, service: ServiceKey, address: str, weight: int) -> None:
        """The weight of a server that has clients, without an interruption."""
        ...

    def save(self) -> None:
        """What is set now is kept over a reboot, unless others had left something unsaved before this run."""
        ...

    def close(self) -> None:
        """Logs out. Raises nothing."""
        ...


class WirePort(Protocol):
    """Packets from this machine. Nothing raises: what could not be sent comes back as a `problem`.

    `interface` is the director's interface in the real servers' network. Deadlines in seconds.
    """

    def ping(self, addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
        """Echo to all addresses. `size`: bytes of the packets, which are not to be fragmented; 0: small ones."""
        ...

    def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]: ...

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]: ...

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        """The VIP through each real server alone, results in the targets' order; the same target is probed once.

        `pace` is a bound of questions a second, 0 for none; the deadline counts from the sending of each.
        """
        ...

    def offlink(
        self, interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
    ) -> Sequence[Sent]:
        """One TCP SYN per target, as from a client elsewhere; results in the targets' order.

        `sources` gives the sender per family (4, 6): an address of nowhere. A machine that is there would answer the
        SYN-ACK with a RST, and end what is looked for. The deadline is for finding the MACs of targets without one.
        """
        ...

    def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
        """A short conversation with a TCP service through each real server alone, results in the targets' order.

        For targets whose probe was answered: `mac` is needed. `deadline`: seconds that an application may take for its
        first byte. This machine must hold the VIP, or its kernel ends what it did not open.
        """
        ...

    def hear(self, interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> Hearing:
        """Listens until it is closed for whoever names one of the addresses as its own; sends nothing.

        `heard` is called from a thread of its own, at most once a second for each (address, MAC, kind), with the
        address as it was given; it must not block or raise. This machine's own MACs are left out.
        """
        ...

    def arrivals(self, interface: str, vips: Sequence[str]) -> Arriving:
        """Listens until it is closed for the first packets of TCP connections to the VIPs, on every interface of this
        machine; sends nothing. They are seen before packet filters and IPVS see them."""
        ...


class Arriving(Protocol):
    """A listener for what comes in from clients."""

    def close(self) -> Arrivals:
        """Ends it, and tells what came."""
        ...


class Hearing(Protocol):
    """A listener that stays open."""

    @property
    def problem(self) -> str:
        """Why nothing can be heard now, or nothing. It goes away by itself once its cause has: it is tried again."""
        ...

    def close(self) -> None:
        """Ends it. Nothing is heard after this has returned."""
        ...


class ProbeTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One (real server, VIP, port) to be probed; `mac` empty: it is resolved from the RIP first.

    `payload` and `expects` are for UDP (`core.model.Service`): what is sent, and what counts as an answer. For `dns` a
    query with a number of its own is sent instead of the payload.
    """

    rip: str
    vip: str
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    mac: str = ""
    payload: bytes = b"dsrwizard"
    expects: Literal["any", "dns", "echo"] = "any"

    @classmethod
    def of(cls, rip: str, vip: str, service: Service) -> ProbeTarget:
        """A service of a deployment, through one real server."""
        return cls(
            rip=rip, vip=vip, port=service.port, protocol=service.protocol, payload=service.datagram,
            expects=service.expects,
        )  # fmt: skip
