"""A WinRM listener for tests: Basic, or NTLM or Kerberos with sealing; shells, streams, quotas, faults.

It knows no PowerShell: a Runner gets the command line's statements and the shell's environment. Not here: CredSSP,
client certificates, PSRP, and the size limit of envelopes.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, TypeVar

import spnego
from spnego.channel_bindings import GssChannelBindings

from backends.winrm.gssapi import GssError
from tests.windows import wsman
from tests.windows.acceptor import Acceptor
from tests.windows.command_line import by_cmd, powershell
from tests.windows.sealing import SEALED, claimed, end_point, seal, unseal
from tests.windows.shells import PIECE, Command, Shell
from tests.windows.wsman import GENERATIONS, Fault, Request

_NTLM = threading.Lock()
"""pyspnego's acceptor reads its users from a file that one environment variable of the process names."""
_LONGEST_PROCESS, _LONGEST_VARIABLE = 32767, 32767
T = TypeVar("T")


class Runner(Protocol):
    """What stands for PowerShell. Returns the exit status."""

    def run(
        self,
        script: str,
        *,
        environment: Mapping[str, str],
        stdin: bytes,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        user: str,
    ) -> int: ...


class Endpoint:
    """One listener on 127.0.0.1. `users` maps `name`, `DOMAIN\\name` or `name@domain` to passwords.

    Attributes may be changed while it runs. `log` holds (user, action) of every message that was acted on; `seen` all
    bytes that came over plain HTTP, headers included.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        users: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        certificate: bytes = b"",
        generation: str = "2012",
        windows: str = r"C:\Windows",
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """`certificate`: that of `tls` in DER, for the channel binding."""
        self.runner, self.users, self.tls = runner, dict(users or {"Administrator": "Passw0rd!"}), tls
        self.generation, self.windows = GENERATIONS[generation], windows
        self.basic, self.negotiate = False, True
        self.keytab: Path | None = None
        """The keys of this host in a Kerberos domain; without them it is in none."""
        self.administrators = set(self.users)
        self.denied: dict[str, str] = {}
        """User → why a right password is answered with 401: `network logon`, `expired`, `ntlm` and so on. Windows tells
        the client none of it."""
        self.remote_shells = True
        self.crowded = False
        """Whether as many users as may are there already."""
        self.status = 0
        """An HTTP status to give to everybody, as a proxy or another web server would."""
        self.cut: list[tuple[str, str]] = []
        """(action, `before` or `after` it is acted on): the next such message ends the connection instead."""
        self.sleeps: list[tuple[str, threading.Event]] = []
        """(action, until): the next such message is acted on, but its answer is held back until then."""
        self.idle_seconds: list[float] = []
        """IdleTimeOut of the shells that were asked for."""
        self.repeated: list[str] = []
        """Actions of messages that came again with their MessageID."""
        self.logins: list[tuple[str, bool]] = []
        self.log: list[tuple[str, str]] = []
        self.seen = bytearray()
        self.errors: list[str] = []
        """Tracebacks of the endpoint itself: there are to be none."""
        self.shells: dict[str, Shell] = {}
        self._operations: dict[str, int] = {}
        self._answers: dict[str, tuple[int, bytes]] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._users_file = tempfile.NamedTemporaryFile("w", prefix="ntlm-", delete=False)  # noqa: SIM115
        self._users_file.close()
        self.binding = GssChannelBindings(application_data=end_point(certificate)) if certificate else None
        self._server = _Server((address, port), self)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> Endpoint:
        self._thread.start()
        return self

    def stop(self) -> None:
        """The host is gone: nobody listens, connections are reset, shells are lost."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self.drop()
        self.shells.clear()
        Path(self._users_file.name).unlink(missing_ok=True)

    def drop(self) -> None:
        """Ends every connection; shells live on."""
        with self._lock:
            live, self._live = self._live, set()
        for sock in live:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def actions(self, *wanted: str) -> list[str]:
        """The actions so far, all or these."""
        return [action for _, action in self.log if not wanted or action in wanted]

    def ntlm(self, step: Callable[[], T]) -> T:
        """One step of the acceptor, with this host's users."""
        lines = []
        for user, password in self.users.items():
            domain, _, name = user.rpartition("\\")
            lines.append(f"{domain}:{name}:{password}")
        with _NTLM:
            Path(self._users_file.name).write_text("\n".join(lines) + "\n")
            os.environ["NTLM_USER_FILE"] = self._users_file.name
            return step()

    def connected(self, sock: socket.socket) -> None:
        with self._lock:
            self._live.add(sock)

    def disconnected(self, sock: socket.socket) -> None:
        with self._lock:
            self._live.discard(sock)

    def is_live(self, sock: socket.socket) -> bool:
        return sock in self._live

    # -- what is asked

    def answer(self, asked: Request, user: str) -> tuple[int, bytes]:
        """Status and message. What was asked before, by its MessageID, is not acted on again: its answer is kept, and
        one that is on its way is waited for. What a Receive took is gone for every other MessageID."""
        with self._lock:
            turn = self._turns.setdefault(asked.message, threading.Lock())
        with turn:
            if asked.message not in self._answers:
                try:
                    self._answers[asked.message] = 200, self.act(asked, user)
                except Fault as fault:
                    self._answers[asked.message] = 500, wsman.fault(asked, fault)
            else:
                self.repeated.append(asked.action)
            return self._answers[asked.message]

    def act(self, asked: Request, user: str) -> bytes:
        """Raises Fault."""
        self.log.append((user, asked.action))
        match asked.action:
            case "Create":
                return self._create(asked, user)
            case "Command":
                return self._command(asked, self._shell(asked))
            case "Receive":
                return self._receive(asked, self._shell(asked))
            case "Signal":
                for command in self._shell(asked).commands.values():
                    command.end(-1073741510)  # as after ctrl+c
                return wsman.reply(asked, "<rsp:SignalResponse/>")
            case "Send":
                return wsman.reply(asked, "<rsp:SendResponse/>")
            case "Delete":
                shell = self._shell(asked)
                with self._lock:
                    del self.shells[asked.shell]
                    self._operations[user] = self._operations.get(user, 0) - len(shell.commands)
                return wsman.reply(asked, "")
            case _:
                raise Fault(
                    wsman.UNKNOWN_ACTION, "s:Sender", "a:ActionNotSupported", "The requested action is not supported."
                )

    def _shell(self, asked: Request) -> Shell:
        found = self.shells.get(asked.shell)
        if found is None:
            raise wsman.no_shell()
        return found

    def _create(self, asked: Request, user: str) -> bytes:
        if user not in self.administrators:
            raise wsman.denied()
        if not self.remote_shells:
            raise Fault(
                wsman.NO_REMOTE_SHELLS,
                "s:Sender",
                "w:AccessDenied",
                "The WS-Management service cannot process the request. The service is configured to not accept any"
                " remote shell requests.",
            )
        idle = asked.body.findtext("rsp:Shell/rsp:IdleTimeOut", "", wsman.NAMESPACES)
        self.idle_seconds.append(float(idle.removeprefix("PT").removesuffix("S") or 7200))
        if self.crowded:
            raise wsman.crowded(by_wmi=self.generation.by_wmi)
        variables = asked.body.findall("rsp:Shell/rsp:Environment/rsp:Variable", wsman.NAMESPACES)
        # What a reader of XML makes of ends of lines and of blanks at the ends is taken as the worst that it may be.
        environment = {one.get("Name", ""): " ".join((one.text or "").strip().splitlines()) for one in variables}
        if any(len(value) > _LONGEST_VARIABLE for value in environment.values()):
            raise Fault(wsman.BAD_ARGUMENT, "s:Sender", "w:InvalidParameter", "The parameter is incorrect.")
        with self._lock:
            if sum(shell.user == user for shell in self.shells.values()) >= self.generation.shells:
                raise wsman.quota(
                    wsman.TOO_MANY_SHELLS, "shells", self.generation.shells, by_wmi=self.generation.by_wmi
                )
            name = str(uuid.uuid4()).upper()
            self.shells[name] = Shell(user, environment)
        return wsman.created(asked, name, user)

    def _command(self, asked: Request, shell: Shell) -> bytes:
        line = asked.body.find("rsp:CommandLine", wsman.NAMESPACES)
        assert line is not None
        words = [line.findtext("rsp:Command", "", wsman.NAMESPACES)]
        words += [one.text or "" for one in line.findall("rsp:Arguments", wsman.NAMESPACES)]
        written = " ".join(words)
        direct = asked.options.get("WINRS_SKIP_CMD_SHELL", "FALSE").upper() == "TRUE" and self.generation.skips_cmd
        if direct and words[0].lower() != powershell(self.windows):
            raise Fault(wsman.NOT_FOUND, "s:Receiver", "w:InternalError", "The system cannot find the file specified. ")
        if direct and len(written) > _LONGEST_PROCESS:
            raise Fault(wsman.BAD_ARGUMENT, "s:Sender", "w:InvalidParameter", "The parameter is incorrect.")
        with self._lock:
            if self._operations.get(shell.user, 0) >= self.generation.operations:
                limit = self.generation.operations
                raise wsman.quota(wsman.TOO_MANY_OPERATIONS, "operations", limit, by_wmi=self.generation.by_wmi)
            self._operations[shell.user] = self._operations.get(shell.user, 0) + 1
        name, command = str(uuid.uuid4()).upper(), Command()
        shell.commands[name] = command
        threading.Thread(target=self._execute, args=(command, shell, written, direct), daemon=True).start()
        return wsman.reply(asked, f"<rsp:CommandResponse><rsp:CommandId>{name}</rsp:CommandId></rsp:CommandResponse>")

    def _execute(self, command: Command, shell: Shell, written: str, direct: bool) -> None:
        line, refused = (written, "") if direct else by_cmd(written, self.windows)
        if refused:
            command.put("stderr", f"{refused}\r\n".encode())
            command.end(1)
            return
        try:
            _, mark, script = line.partition(" -Command ")
            assert mark, "PowerShell gets its script by -Command"
            status = self.runner.run(
                script,
                environment=shell.environment,
                stdin=b"",
                out=lambda data: command.put("stdout", data),
                err=lambda data: command.put("stderr", data),
                user=shell.user,
            )
        except Exception as error:  # noqa: BLE001 - whatever a runner raises must end the command, not hang the client
            command.put("stderr", f"the runner failed: {type(error).__name__}: {error}\r\n".encode())
            status = 255
        command.end(status)

    def _receive(self, asked: Request, shell: Shell) -> bytes:
        stream = asked.body.find("rsp:Receive/rsp:DesiredStream", wsman.NAMESPACES)
        name = stream.get("CommandId", "") if stream is not None else ""
        command = shell.commands.get(name)
        if command is None:
            raise wsman.no_command()
        deadline = time.monotonic() + asked.seconds
        with command.condition:
            while not command.output and command.status is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise wsman.timed_out()
                command.condition.wait(min(left, 0.2))
                if asked.shell not in self.shells:
                    raise wsman.no_shell()
            if command.status is None:
                command.condition.wait(0.02)
            taken: list[tuple[str, bytes]] = []
            while command.output and sum(len(data) for _, data in taken) < PIECE:
                taken.append(command.output.pop(0))
            status = command.status if not command.output else None
        return wsman.received(asked, name, taken, status)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[Any, Any]:
        sock, peer = super().get_request()
        if self.endpoint.tls is not None:
            sock = self.endpoint.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.endpoint.connected(sock)
        return sock, peer

    def shutdown_request(self, request: Any) -> None:
        self.endpoint.disconnected(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away or do not like a certificate are nothing to report; what is wrong here is."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.endpoint.errors.append("".join(traceback.format_exception(error)))


class _Handler(BaseHTTPRequestHandler):
    """One connection, for as long as it lives: NTLM's state is here."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    context: Any = None
    ticket: Acceptor | None = None
    proof = b""
    """What proves the host to a client by Kerberos: it goes with the first answer."""
    user = ""
    sealed = False

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if endpoint.tls is None:
            endpoint.seen += f"{self.path}\n{self.headers}".encode() + body
        self.sealed = False
        if endpoint.status:
            self._send(endpoint.status, b"<html>something else</html>", "text/html")
        elif self.path != "/wsman":
            self._send(404)
        elif self._logged_in():
            self._message(body)

    def _logged_in(self) -> bool:
        """Answers by itself where there is more to say before the message counts."""
        endpoint, header = self.server.endpoint, self.headers.get("Authorization") or ""
        scheme, _, token = header.partition(" ")
        if scheme == "Basic" and endpoint.basic:
            user, _, password = base64.b64decode(token).decode().partition(":")
            good = endpoint.users.get(user) == password and user not in endpoint.denied
            endpoint.logins.append((user, good))
            self.user = user if good else ""
        elif scheme in ("Negotiate", "NTLM") and endpoint.negotiate:
            return self._negotiate(base64.b64decode(token))
        if not self.user:
            self._refuse()
        return bool(self.user)

    def _negotiate(self, token: bytes) -> bool:
        endpoint = self.server.endpoint
        if token[:8] != b"NTLMSSP\0" and endpoint.keytab is not None:
            return self._kerberos(token, endpoint.keytab)
        if token[:8] == b"NTLMSSP\0" and struct.unpack("<I", token[8:12])[0] == 1:
            self.user = ""
            self.ticket = None
            self.context = endpoint.ntlm(
                lambda: spnego.server(
                    protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm, channel_bindings=endpoint.binding
                )
            )
        try:
            answer = endpoint.ntlm(lambda: self.context.step(token))
        except Exception:  # noqa: BLE001 - unknown user, wrong password, bad channel binding: all the same to Windows
            endpoint.logins.append((claimed(token), False))
            self._refuse()
            return False
        if not self.context.complete:
            self._refuse(answer)
            return False
        user = str(self.context.client_principal).removeprefix("\\")
        good = user not in endpoint.denied
        endpoint.logins.append((user, good))
        if not good:
            self._refuse()
            return False
        self.user = user
        return True

    def _kerberos(self, token: bytes, keytab: Path) -> bool:
        endpoint, self.user = self.server.endpoint, ""
        binding = endpoint.binding.application_data if endpoint.binding else b""
        self.ticket = Acceptor(keytab, binding or b"")
        try:
            self.proof = self.ticket.step(token)
        except GssError as error:
            endpoint.logins.append((str(error), False))
            self._refuse()
            return False
        user = self.ticket.user
        good = endpoint.denied.get(user, "ntlm") == "ntlm"
        endpoint.logins.append((user, good))
        if not good:
            self.proof = b""
            self._refuse()
            return False
        self.user = user
        return True

    def _refuse(self, token: bytes | None = None) -> None:
        endpoint = self.server.endpoint
        ways = []
        if endpoint.negotiate:
            ways.append("Negotiate" + (f" {base64.b64encode(token).decode()}" if token else ""))
        if endpoint.basic and not token:
            ways.append('Basic realm="WSMAN"')
        self._send(401, headers=[("WWW-Authenticate", way) for way in ways])

    def _message(self, body: bytes) -> None:
        endpoint = self.server.endpoint
        if not body:
            self._send(200)
            return
        if SEALED in (self.headers.get("Content-Type") or ""):
            try:
                body = unseal(self.ticket or self.context, body)
            except Exception:  # noqa: BLE001 - sealed for another connection, or damaged
                self._send(400)
                return
            self.sealed = True
        elif endpoint.tls is None:
            self._send(500)  # AllowUnencrypted is false
            return
        asked = wsman.request(body)
        if (asked.action, "before") in endpoint.cut:
            endpoint.cut.remove((asked.action, "before"))
            self._hang_up()
            return
        status, answer = endpoint.answer(asked, self.user)
        for action, until in endpoint.sleeps:
            if action == asked.action:
                endpoint.sleeps.remove((action, until))
                until.wait(120)
                break
        if (asked.action, "after") in endpoint.cut:
            endpoint.cut.remove((asked.action, "after"))
            self._hang_up()
            return
        if self.sealed:
            self._send(
                status,
                seal(self.ticket or self.context, answer),
                f'multipart/encrypted;protocol="{SEALED}";boundary="Encrypted Boundary"',
            )
        else:
            self._send(status, answer, "application/soap+xml;charset=UTF-8")

    def _send(
        self, status: int, body: bytes = b"", kind: str = "", headers: list[tuple[str, str]] | None = None
    ) -> None:
        self.send_response(status)
        if self.proof:
            self.send_header("WWW-Authenticate", f"Negotiate {base64.b64encode(self.proof).decode()}")
            self.proof = b""
        for name, value in headers or ():
            self.send_header(name, value)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
