"""The lab's kernel, confined: its process may read this machine's files and change nothing on it.

Root in the lab is root of the lab's kernel: it may mount hostfs again (writable, with any directory of this machine),
make devices, load modules and write to that kernel's memory. What holds is therefore outside of it: this program gives
up what the kernel does not need, for good, and becomes the kernel.

- A seccomp filter lets no file be opened for writing and none be made; names, modes, owners, times and attributes stay
  as they are; there are no sockets, and no other process is traced. The one exception is a file without a name that can
  never be given one (O_TMPFILE with O_EXCL): the kernel's memory. The three files that the kernel is to write to, its
  log and its two consoles, are open already. The programs in the lab do not notice: their system calls are the lab's
  kernel's to answer and never reach this machine's.
- Started as root, it keeps the capabilities to read every file (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) and no other.
- It may open as many files as the hard limit allows; hostfs needs them (see `backends.lab.inside.files`).

A filter needs no privilege, no namespace and no security module, so that root, an ordinary user, a container and a
machine without user namespaces are all treated alike. Where there is no seccomp filter, the lab does not start. Not
held back: the load on the machine (processor, memory), the log's length, signals to the user's own processes.

Run as a program of its own (`python confine.py KERNEL ARGUMENT…`), so that it imports nothing of the package.
Numbers: the kernel's arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/linux/{seccomp,filter,audit,fs}.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence

MEMORY_FLAGS = os.O_RDWR | os.O_EXCL | os.O_CLOEXEC | os.O_TMPFILE
"""How the lab's kernel opens its memory."""

_X86_64 = 0xC000003E
_FIRST_UNKNOWN = 450  # system calls younger than the lab's kernel; x32's numbers are above, too
_WRITES = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
_OPENS = {2: 1, 257: 2}  # open, openat: which argument holds the flags
_MKDIR = 83
# fmt: off
_REFUSED = (
    76, 85, 304, 437, 425,                       # truncate creat open_by_handle_at openat2 io_uring_setup
    82, 84, 86, 87, 88, 133,                     # rename rmdir link unlink symlink mknod
    258, 259, 263, 264, 265, 266, 316,           # mkdirat mknodat unlinkat renameat linkat symlinkat renameat2
    90, 91, 92, 93, 94, 260, 268,                # chmod fchmod chown fchown lchown fchownat fchmodat
    132, 235, 261, 280,                          # utime utimes futimesat utimensat
    188, 189, 190, 197, 198, 199,                # setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
    41, 240,                                     # socket mq_open
    311, 438,                                    # process_vm_writev pidfd_getfd
)
# fmt: on
_REFUSED_WITH = {  # system call: which argument, and its values
    16: (1, (0x40086602, 0x401C5820)),  # ioctl FS_IOC_SETFLAGS FS_IOC_FSSETXATTR
    101: (0, (16, 0x4206)),  # ptrace PTRACE_ATTACH PTRACE_SEIZE
}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they are in struct seccomp_data
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_SECCOMP_MODE_FILTER = 2
_READING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_CAPABILITY_VERSION_3, _CAPABILITY_DATA = 0x20080522, 24  # bytes
_CAPABILITIES = 64


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def _do(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no`: how many to leave out after a comparison."""
    return struct.pack("=HBBI", code, yes, no, value)


def _refuse(error: int = errno.EROFS) -> bytes:
    return _do(_RETURN, _ERROR | error)


def _filter() -> bytes:
    allow = _do(_RETURN, _ALLOW)
    steps = [_do(_LOAD, _ARCHITECTURE), _do(_EQUAL, _X86_64, 1, 0), _refuse(), _do(_LOAD, _NUMBER)]
    steps += [_do(_AT_LEAST, _FIRST_UNKNOWN, 0, 1), _refuse(errno.ENOSYS)]
    # The kernel makes the directory for its management console as it starts, and does without when it is there.
    steps += [_do(_EQUAL, _MKDIR, 0, 1), _refuse(errno.EEXIST)]
    for number in _REFUSED:
        steps += [_do(_EQUAL, number, 0, 1), _refuse()]
    for number, (argument, values) in _REFUSED_WITH.items():
        look = [_do(_LOAD, _ARGUMENTS + 8 * argument)]
        for value in values:
            look += [_do(_EQUAL, value, 0, 1), _refuse()]
        steps += [_do(_EQUAL, number, 0, len(look) + 1), *look, allow]
    for number, argument in _OPENS.items():
        look = [_do(_LOAD, _ARGUMENTS + 8 * argument), _do(_EQUAL, MEMORY_FLAGS, 0, 1), allow]
        look += [_do(_ANY_BIT, _WRITES, 0, 1), _refuse(), allow]
        steps += [_do(_EQUAL, number, 0, len(look)), *look]
    return b"".join([*steps, allow])


def confine() -> None:
    """Confines this process and all it will start. There is no way back.

    Raises `OSError` when the kernel refuses, or is not x86-64's, whose system calls this knows.
    """
    if (platform.machine(), struct.calcsize("P")) != ("x86_64", 8):
        raise OSError(errno.ENOTSUP, "the lab can be confined on x86-64 only")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        _keep_reading_only(libc)
    code = _filter()
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(held, ctypes.c_void_p))
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _keep_reading_only(libc: ctypes.CDLL) -> None:
    for capability in range(_CAPABILITIES):
        if not _READING >> capability & 1:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for one that this kernel does not know
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(_CAPABILITY_DATA)
    _check(libc.capget(header, data))
    permitted = struct.unpack_from("=I", data, 4)[0] & _READING
    _check(libc.capset(header, struct.pack("=6I", permitted, permitted, 0, 0, 0, 0)))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def confined(argv: Sequence[str]) -> list[str]:
    """The command that becomes `argv`, confined."""
    return [sys.executable, "-I", "-S", __file__, *argv]


if __name__ == "__main__":
    try:
        confine()
        os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606
    except OSError as error:
        sys.exit(f"The lab's kernel could not be confined: {error}")
