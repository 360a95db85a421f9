"""What `dsrwizard adopt` does: it looks, puts a deployment together, and writes and prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dsrwizard import files, out
from dsrwizard.cli.changing import leased
from dsrwizard.core.dialects.loadbalancer_org import farm as of_loadbalancer_org
from dsrwizard.core.intake import adopt as adopting
from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftBalancer
from dsrwizard.core.intake.importers import KIND_WORDS, Imported, ListKind, detect, read
from dsrwizard.core.intake.importers import netscaler as of_netscaler
from dsrwizard.core.intake.importers.plain import addresses_of, names_of
from dsrwizard.core.intake.opening import brought, included
from dsrwizard.core.intake.validate import deployment_of, problems_of_draft
from dsrwizard.core.model.deployment import Balancer, Deployment, Director
from dsrwizard.core.model.errors import DsrError, Locked, LookError, UsageError
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.products import LOADBALANCER_ORG, NETSCALER, Product
from dsrwizard.core.model.words import capital
from dsrwizard.files import state_dir

if TYPE_CHECKING:
    from dsrwizard.core.api import Engine
    from dsrwizard.core.model.secret import Secret
    from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion

HERE = "this director's IPVS"
_NAME = "adopted"
_OPTIONS = {"netscaler": "--netscaler nsroot@10.1.0.5", "loadbalancer.org": "--loadbalancer-org loadbalancer@10.1.0.5"}
_RUNNING: dict[ListKind, str] = {"keepalived": "keepalived", "ldirectord": "ldirectord"}


class Unanswering:
    """Implements `core.ports.Asker`: nobody is asked, and every answer is no. Logins that need a question fail."""

    def secret(self, question: SecretQuestion) -> Secret | None:
        del question
        return None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        del question
        return False


def adopted(
    sources: tuple[Path, ...],
    output: Path | None,
    *,
    force: bool,
    name: str,
    interface: str,
    no_login: bool,
    as_json: bool,
    netscaler: str = "",
    loadbalancer_org: str = "",
) -> int:
    """Makes and writes the deployment file, and returns the exit code. Raises UsageError, LookError and DsrError."""
    from dsrwizard.cli import wiring

    _usable(output, force)
    told = [(str(path), _read(path)) for path in sources]
    if netscaler and loadbalancer_org:
        raise UsageError("Two load balancers are named.", "A deployment is one farm.", "Adopt each into its own file.")
    which = NETSCALER if netscaler else LOADBALANCER_ORG
    balancer = _managed(netscaler or loadbalancer_org, which) if netscaler or loadbalancer_org else None
    with closing(wiring.build_engine(Unanswering())) as engine, _undisturbed(engine):
        if balancer is not None:
            told.insert(0, (f"the {which.name} at {balancer.addresses[0]}", _appliance(balancer, which)))
        facts = _director(engine, interface)
        farm, lists, labels = _farm(told, facts)
        farm, logins = adopting.merged(farm, lists, addresses_of(_hosts()))
        ours = _set_up_as(farm) or (farm.name if fields.name(farm.name) is None else "")
        name = name or ours or (output.stem if output is not None and fields.name(output.stem) is None else _NAME)
        deployment = _deployment(farm, facts, name, interface, balancer)
        told_of = [f"dsrwizard set this farm up itself, as {ours}."] if ours else []
        notes = [*farm.notes, *told_of, *adopting.seen_here(farm, facts, deployment.director.interface)]
        if no_login:
            deployment, more = adopting.with_looks(deployment, {}, {}, logins)
        else:
            observed = engine.observe(deployment)
            deployment, more = adopting.with_looks(deployment, observed.servers, observed.failed, logins)
    notes += more
    content = adopting.written(deployment, labels, notes)
    if output is not None:
        _save(output, content)
    _print(deployment, labels, notes, content, output, as_json=as_json)
    return 0


@contextmanager
def _undisturbed(engine: Engine) -> Iterator[None]:
    """No run changes the farm while it is read, for half of a run would be written down as a farm. Raises Locked. Where
    nothing can be locked it is read all the same: nothing is changed."""
    with ExitStack() as stack:
        try:
            stack.enter_context(leased(engine, "", "adopt", 0.0))
        except Locked:
            raise
        except LookError:
            pass
        yield


def _usable(output: Path | None, force: bool) -> None:
    """Refuses what would overwrite a file, before anything is looked at."""
    if output is None or force:
        return
    try:
        there = output.exists() or output.is_symlink()
    except (OSError, ValueError):
        there = False
    if there:
        raise UsageError(f"{output} exists already.", "", "Use --force to overwrite it, or choose another path.")


def _read(path: Path) -> Imported:
    try:
        text = brought(path, pipes=True)
    except OSError as problem:
        raise UsageError(
            f"{path} cannot be read.", f"{capital(problem.strerror or str(problem))}.", "Check the path."
        ) from None
    found = read(text, str(path), opener=included)
    kind = detect(text, str(path))
    if kind in _RUNNING:
        found.notes.append(
            f"{_RUNNING[kind]} sets IPVS itself as long as it runs: verify, status and watch do not mind, but stop it "
            "before an apply."
        )
    if found.refused:
        what = f"{path} was not adopted ({KIND_WORDS[kind]})."
        raise UsageError(
            what, "\n".join(found.notes[:20]) or "It is empty.", "Give a file of another kind with --from."
        )
    return found


def _director(engine: Engine, interface: str) -> DirectorFacts | None:
    """What this machine shows; None: not even its interfaces."""
    asked = interface if interface and fields.director_interface(interface) is None else "lo"
    try:
        return engine.director(Deployment(name=_NAME, director=Director(interface=asked), vips=(), servers=()))
    except LookError:
        return None


def _farm(
    told: Sequence[tuple[str, Imported]], facts: DirectorFacts | None
) -> tuple[Imported, list[Imported], list[str]]:
    """The one that has the VIPs, the lists that only have servers, and where all of it is from."""
    farms = [found for _, found in told if found.vips]
    lists = [found for _, found in told if not found.vips]
    if len(farms) > 1:
        raise UsageError(
            "More than one of them has VIPs.", "A deployment is one farm.", "Adopt each of them into a file of its own."
        )
    labels = [path for path, _ in told]
    if farms:
        return farms[0], lists, labels
    if facts is None or facts.services is None:
        problem = facts.ipvs_problem if facts is not None else "The interfaces of this machine cannot be read."
        hint = facts.ipvs_next if facts is not None else ""
        if lists:
            hint = "Also give a file that has the VIPs: --from keepalived.conf, for example."
        raise LookError("This director's IPVS could not be read.", problem, hint)
    found = adopting.live(facts, names_of(_hosts()))
    if not found.vips:
        raise DsrError(
            "This director's IPVS has nothing to adopt.",
            "\n".join(found.notes[1:20]) if facts.services or facts.foreign_services else "It has no service.",
            "Use --from FILE to adopt what a file says, or run `dsrwizard` to set up a new farm.",
        )
    return found, lists, [HERE, *labels]


def _set_up_as(farm: Imported) -> str:
    """The name of the deployment in force with one of these VIPs, or nothing: its files on the servers go by it."""
    from dsrwizard.engine.journal import Journals

    vips = {fields.parsed(vip.address) for vip in farm.vips}
    deployments = Journals(state_dir() / "journal").in_force()
    return next((one.name for one in deployments if any(vip.ip in vips for vip in one.vips)), "")


def _hosts() -> str:
    """/etc/hosts of this machine, or nothing."""
    try:
        return brought(Path("/etc/hosts"))
    except OSError:
        return ""


def _managed(text: str, product: Product) -> DraftBalancer:
    """Where an appliance is managed: `USER@ADDRESS` or `USER@ADDRESS:PORT`, IPv6 in brackets where a port follows."""
    user, _, place = text.rpartition("@")
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(\d+))?", place, re.ASCII)
    plain = re.fullmatch(r"([^:]*):(\d+)", place, re.ASCII)
    match = bracketed or plain
    address, port = (match[1], match[2] or "") if match else (place, "")
    if not user or fields.parsed(address) is None:
        raise UsageError(
            f"{text} does not say where the {product.name} is managed.", "",
            f"Write its user and its management address: {_OPTIONS[product.engine]}",
        )  # fmt: skip
    return DraftBalancer(addresses=[address], user=user, port=port)


def _appliance(place: DraftBalancer, product: Product) -> Imported:
    from dsrwizard.cli import wiring
    from dsrwizard.cli.asking import TerminalAsker

    if place.port and not 0 < int(place.port[:6]) < 65_536:
        raise UsageError(f"{place.port} is not a valid port.", "", "Write the port of its HTTPS management.")
    port = int(place.port) if place.port else None
    balancer = Balancer(addresses=tuple(place.addresses), user=place.user, port=port)
    if product is NETSCALER:
        found = of_netscaler.live(wiring.netscaler_farm(balancer, TerminalAsker()))
        takes = "virtual servers with -m MAC"
    else:
        found = of_loadbalancer_org.live(wiring.loadbalancer_org_farm(balancer, TerminalAsker()))
        takes = "layer 4 services with direct routing (gate)"
    if found.refused:
        raise DsrError(
            f"The {product.name} at {place.addresses[0]} has nothing to adopt.", "\n".join(found.notes[:20]),
            f"DSR takes {takes}. To set up a new farm, run `dsrwizard`.",
        )  # fmt: skip
    return found


def _deployment(
    farm: Imported, facts: DirectorFacts | None, name: str, interface: str, balancer: DraftBalancer | None
) -> Deployment:
    chosen = interface or (adopting.director_interface(facts, farm, farm.interface) if facts else "") or farm.interface
    if not chosen:
        raise UsageError(
            "The director's interface is not known.",
            "No interface of this machine is in the real servers' network.",
            "Name it with --interface, for example --interface eth0.",
        )
    draft = adopting.drafted(farm, name, chosen, balancer)
    problems = problems_of_draft(draft)
    if problems:
        raise UsageError("The farm cannot be written as a deployment.", problems[0].message, problems[0].hint)
    return deployment_of(draft)


def _save(output: Path, content: str) -> None:
    try:
        files.export(output, content)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", "") or str(problem)
        raise LookError(f"{output} cannot be written.", f"{reason}.", "Choose another path with --output.") from None


def _print(
    deployment: Deployment,
    labels: Sequence[str],
    notes: Sequence[str],
    content: str,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        document: dict[str, Any] = {
            "deployment": deployment.name,
            "from": list(labels),
            "file": str(output) if output is not None else "",
            "adopted": msgspec.to_builtins(deployment),
            "notes": list(notes),
        }
        out.document(document)
        return
    if output is None:
        out.text(content)
        return
    for note in notes:
        out.line(f"i {note}")
    services = sum(len(vip.services) for vip in deployment.vips)
    out.line(
        f"{deployment.name}: {_count(len(deployment.vips), 'VIP')}, {_count(services, 'service')}, "
        f"{_count(len(deployment.servers), 'real server')} from {' and '.join(labels)}. No host was changed."
    )
    out.line(f"Written: {output}")
    out.line(f"Next: dsrwizard verify {output}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
