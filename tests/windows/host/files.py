"""Files of the model, as far as scripts make some: below Windows' own folder, by .NET's `File` and `Directory`.

A folder has an owner and a list of who may do what, as Windows writes them down (SDDL). Nobody but administrators makes
anything in Windows' own folder; what is made there inherits that.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.windows.pwsh import Object, PowerShellError, Static

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

WINDOWS = r"C:\Windows"
INHERITED = "O:BAG:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)"


@dataclass
class Files:
    """Paths → text, and folders → SDDL; both as they were given, and found in any case."""

    texts: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)

    def below(self, path: str) -> list[str]:
        """Files and folders right in it."""
        start = path.lower() + "\\"
        return [
            one
            for one in [*self.texts, *self.folders]
            if one.lower().startswith(start) and "\\" not in one[len(start) :]
        ]

    def found(self, path: str) -> str:
        """The name of a file as it is there; empty: it is not."""
        return next((one for one in self.texts if one.lower() == path.lower()), "")

    def folder(self, path: str) -> str:
        return next((one for one in self.folders if one.lower() == path.lower()), "")


def file(host: WindowsHost) -> Static:
    """`[IO.File]`."""
    files = host.files

    def read(path: str) -> str:
        name = files.found(path)
        if not name:
            raise PowerShellError(f"Could not find file '{path}'.")
        return files.texts[name]

    def write(path: str, text: str) -> None:
        host.called("write file")
        _allowed(host, path)
        files.texts[files.found(path) or path] = text
        host.done("write file")

    def move(path: str, to: str) -> None:
        host.called("move file")
        name = files.found(path)
        if not name:
            raise PowerShellError(f"Could not find file '{path}'.")
        if files.found(to):
            raise PowerShellError("Cannot create a file when that file already exists.")
        _allowed(host, to)
        files.texts[to] = files.texts.pop(name)
        host.done("move file")

    def delete(path: str) -> None:
        host.called("delete file")
        _allowed(host, path)
        files.texts.pop(files.found(path), None)
        host.done("delete file")

    return Static(
        "IO.File",
        {
            "Exists": lambda path: bool(files.found(path)),
            "ReadAllText": read,
            "WriteAllText": write,
            "Move": move,
            "Delete": delete,
        },
    )


def directory(host: WindowsHost) -> Static:
    """`[IO.Directory]`."""
    files = host.files

    def create(path: str, security: Any = None) -> Object:
        host.called("make folder")
        if not files.folder(path):
            _allowed(host, path)
            parent = files.folders.get(files.folder(path.rpartition("\\")[0]), "")
            given = security.call("Sddl", []) if security is not None else ""
            files.folders[path] = given or _inherited(parent) or INHERITED
        host.done("make folder")
        return Object("DirectoryInfo", {"FullName": path})

    def delete(path: str, whole: bool) -> None:
        host.called("delete folder")
        name = files.folder(path)
        if not name:
            raise PowerShellError(f"Could not find a part of the path '{path}'.")
        inside = [one for one in [*files.texts, *files.folders] if one.lower().startswith(name.lower() + "\\")]
        if inside and not whole:
            raise PowerShellError("The directory is not empty.")
        for one in inside:
            files.texts.pop(one, None)
            files.folders.pop(one, None)
        del files.folders[name]
        host.done("delete folder")

    def chosen(path: str, pattern: str, kind: dict[str, str]) -> list[str]:
        if not files.folder(path):
            raise PowerShellError(f"Could not find a part of the path '{path}'.")
        names = [one for one in files.below(path) if one in kind]
        return [one for one in names if fnmatch.fnmatch(one.rpartition("\\")[2].lower(), pattern.lower())]

    return Static(
        "IO.Directory",
        {
            "Exists": lambda path: bool(files.folder(path)),
            "CreateDirectory": create,
            "Delete": delete,
            "GetDirectories": lambda path, pattern: chosen(path, pattern, files.folders),
            "GetFiles": lambda path, pattern: chosen(path, pattern, files.texts),
            "GetFileSystemEntries": files.below,
            "GetAccessControl": lambda path: _access(files.folders[files.folder(path)]),
        },
    )


def _allowed(host: WindowsHost, path: str) -> None:
    if not host.elevated:
        raise PowerShellError(f"Access to the path '{path}' is denied.")


def _inherited(sddl: str) -> str:
    """What is made in a folder with this list gets, where the list is to be inherited."""
    if "(A;OICI;" not in sddl:
        return ""
    return sddl.replace("D:PAI", "D:AI").replace("D:P(", "D:AI(").replace("(A;OICI;", "(A;OICIID;")


def _access(sddl: str) -> Object:
    def form(sections: int) -> str:
        assert int(sections) == 6, "Access (2) and Owner (4)"
        owner, _, rest = sddl.partition("G:")
        return owner + "D:" + rest.partition("D:")[2]

    return Object("DirectorySecurity", {}, {"GetSecurityDescriptorSddlForm": form})


def security() -> Object:
    """`New-Object Security.AccessControl.DirectorySecurity`."""
    given = [""]

    def put(sddl: str) -> None:
        # As Windows reads it, it says that inheritance was looked at.
        given[0] = sddl.replace("D:P(", "D:PAI(")

    return Object("DirectorySecurity", {}, {"SetSecurityDescriptorSddlForm": put, "Sddl": lambda: given[0]})
