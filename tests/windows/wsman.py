"""Messages of WS-Management as a Windows host reads and writes them: requests, replies, faults of both generations."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
NAMESPACES = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "rsp": SHELL,
}
_DECLARED = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
TIMED_OUT, DENIED, GONE, NOT_FOUND, BAD_ARGUMENT = 2150858793, 5, 2150858843, 2147942402, 2147942487
TOO_MANY_SHELLS, TOO_MANY_OPERATIONS, NO_REMOTE_SHELLS, UNKNOWN_ACTION = 2150859173, 2150859174, 2150859180, 2150858751


@dataclass(frozen=True)
class Request:
    """What a client asks for. `action` is the last part of its URI."""

    action: str
    uri: str
    message: str
    shell: str
    seconds: float
    options: dict[str, str]
    body: ET.Element


@dataclass(frozen=True)
class Fault(Exception):
    """What the host answers instead. `by_wmi`: told by MSFT_WmiError, as quotas are from 2012 on."""

    code: int
    value: str
    subcode: str
    text: str
    by_wmi: bool = False


@dataclass(frozen=True)
class Generation:
    """The quotas of WinRM, and how they are told."""

    shells: int
    operations: int
    by_wmi: bool
    skips_cmd: bool = False
    """Whether WINRS_SKIP_CMD_SHELL counts; from 2012 R2 on it does not."""


GENERATIONS = {"2008 R2": Generation(5, 15, by_wmi=False, skips_cmd=True), "2012": Generation(30, 1500, by_wmi=True)}


def request(document: bytes) -> Request:
    root = ET.fromstring(document)  # noqa: S314 - of a client that was let in

    def text(path: str) -> str:
        found = root.find(path, NAMESPACES)
        return (found.text or "") if found is not None else ""

    uri = text("s:Header/a:Action")
    body = root.find("s:Body", NAMESPACES)
    assert body is not None
    options = {
        option.get("Name", ""): option.text or ""
        for option in root.findall("s:Header/w:OptionSet/w:Option", NAMESPACES)
    }
    seconds = text("s:Header/w:OperationTimeout").removeprefix("PT").removesuffix("S")
    return Request(
        action=uri.rpartition("/")[2],
        uri=uri,
        message=text("s:Header/a:MessageID"),
        shell=text("s:Header/w:SelectorSet/w:Selector"),
        seconds=float(seconds or 60),
        options=options,
        body=body,
    )


def reply(asked: Request, body: str) -> bytes:
    return _envelope(f"{asked.uri}Response", asked.message, body)


def _envelope(action: str, relates_to: str, body: str) -> bytes:
    return (
        f'<s:Envelope xml:lang="en-US" {_DECLARED}><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID><a:RelatesTo>{escape(relates_to)}</a:RelatesTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def created(asked: Request, shell: str, owner: str) -> bytes:
    return reply(
        asked,
        "<x:ResourceCreated><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>"
        f"<a:ReferenceParameters><w:ResourceURI>{SHELL}/cmd</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>'
        f"<rsp:Shell><rsp:ShellId>{shell}</rsp:ShellId><rsp:ResourceUri>{SHELL}/cmd</rsp:ResourceUri>"
        f"<rsp:Owner>{escape(owner)}</rsp:Owner><rsp:ClientIP>127.0.0.1</rsp:ClientIP>"
        "<rsp:IdleTimeOut>PT7200.000S</rsp:IdleTimeOut><rsp:InputStreams>stdin</rsp:InputStreams>"
        "<rsp:OutputStreams>stdout stderr</rsp:OutputStreams><rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime>"
        "<rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity></rsp:Shell>",
    )


def received(asked: Request, command: str, pieces: Iterable[tuple[str, bytes]], status: int | None) -> bytes:
    """Output; `status` None: the command runs on."""
    streams = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{command}">{base64.b64encode(data).decode()}</rsp:Stream>'
        for name, data in pieces
    )
    if status is None:
        state = f'<rsp:CommandState CommandId="{command}" State="{SHELL}/CommandState/Running"/>'
    else:
        streams += "".join(
            f'<rsp:Stream Name="{name}" CommandId="{command}" End="true"></rsp:Stream>' for name in ("stdout", "stderr")
        )
        state = (
            f'<rsp:CommandState CommandId="{command}" State="{SHELL}/CommandState/Done">'
            f"<rsp:ExitCode>{status}</rsp:ExitCode></rsp:CommandState>"
        )
    return reply(asked, f"<rsp:ReceiveResponse>{streams}{state}</rsp:ReceiveResponse>")


def fault(asked: Request, found: Fault) -> bytes:
    text = escape(found.text)
    if found.by_wmi:
        uri = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError"
        detail = (
            f"<p:MSFT_WmiError xmlns:p={quoteattr(uri)}><p:Message>{text}</p:Message>"
            f"<p:error_Code>{found.code}</p:error_Code><p:error_Type>HRESULT</p:error_Type></p:MSFT_WmiError>"
        )
    else:
        uri = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
        detail = (
            f'<f:WSManFault xmlns:f={quoteattr(uri)} Code="{found.code}" Machine="WIN1">'
            f"<f:Message>{text}</f:Message></f:WSManFault>"
        )
    body = (
        f"<s:Fault><s:Code><s:Value>{found.value}</s:Value><s:Subcode><s:Value>{found.subcode}</s:Value></s:Subcode>"
        f'</s:Code><s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail>{detail}</s:Detail></s:Fault>'
    )
    return _envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", asked.message, body)


def timed_out() -> Fault:
    return Fault(
        TIMED_OUT,
        "s:Receiver",
        "w:TimedOut",
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.",
    )


def denied() -> Fault:
    return Fault(DENIED, "s:Sender", "w:AccessDenied", "Access is denied. ")


def no_shell() -> Fault:
    return Fault(
        GONE,
        "s:Sender",
        "w:InvalidSelectors",
        "The WS-Management service cannot process the request because the request contained invalid selectors for the"
        " resource. ",
    )


def no_command() -> Fault:
    return Fault(
        GONE,
        "s:Sender",
        "w:InvalidSelectors",
        "The Windows Remote Shell received a request to perform an operation on a command identifier that does not"
        " exist. ",
    )


def crowded(*, by_wmi: bool) -> Fault:
    """As many users as may have shells there; each generation has its code (wsmerror.h)."""
    return Fault(
        2150859237 if by_wmi else 2150859179,
        "s:Sender",
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. The maximum number of users executing shell operations"
        " has been exceeded. Close existing shells or raise the quota for this system.",
        by_wmi=by_wmi,
    )


def quota(code: int, kind: str, limit: int, *, by_wmi: bool) -> Fault:
    return Fault(
        code,
        "s:Sender",
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. This user is allowed a maximum number of"
        f" {limit} concurrent {kind}, which has been exceeded. Close existing {kind} or raise the quota for this user.",
        by_wmi=by_wmi,
    )
