"""The small process that owns the containers of one pod.

It is started as a script (``python -I -S -E shim.py POD_DIR``), never imported by OME, and uses
only built-in modules, because every pod pays for one: ``os``, ``signal``, ``socket`` and ``json``
are left out in favour of the C modules beneath them (about 9 MB resident, of which less than
3 MB are private; the rest is the interpreter's text shared by all shims).

Guarantees:

* It lives on when OME is killed: it is its own session and was forked twice. OME finds it again
  through the socket ``shim.sock`` in the pod's directory and takes up where it left off.
* A container is one child process, leader of its own session. The shim is a *subreaper* (set by
  the starter before it replaces itself, since the attribute survives ``exec``), so a daemonised
  grandchild becomes the shim's child, not init's, and is killed with its container.
* Children get ``PR_SET_PDEATHSIG=SIGKILL``: an engine must never outlive the only process that
  can report its exit and stop it. The node sweeps up what those children had started.
* Exit codes and times are in ``state/<id>`` (written to a temporary file and renamed) before they
  are announced, so nobody who asks later, even after the shim itself died, gets a different story.
* Output goes to log files in the CRI format (``time stream F|P text``), rotated by size.

The protocol is frames of ``<length>\\n<fields>``, fields separated by NUL (which neither arguments
nor environment may contain, so nothing needs escaping). Environment values, which may be secrets,
travel only through the socket: never through arguments or files.

    start  id= log= max_bytes= max_files= cwd= oom= arg=... env=...      stop  id= signal= grace_ms=
    hello  forget id=  exit                        answers: hello, state (one per change), ready
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import errno
import posix
import select
import sys
import time

PROTOCOL = "1"
MAX_LINE = 16 * 1024
MAX_FRAME = 8 * 1024 * 1024
MAX_QUEUED = 1024 * 1024
LINUX = sys.platform == "linux"


def write_file(path: str, text: str) -> None:
    """Replaces a file as a whole; readers see the old or the new text."""
    temporary = f"{path}.tmp"
    fd = posix.open(temporary, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
    try:
        posix.write(fd, text.encode())
    finally:
        posix.close(fd)
    posix.rename(temporary, path)


def read_file(path: str, limit: int = 65536) -> bytes:
    """The first bytes of a small file; empty where it can't be read."""
    try:
        fd = posix.open(path, posix.O_RDONLY)
    except OSError:
        return b""
    try:
        return posix.read(fd, limit)
    except OSError:
        return b""
    finally:
        posix.close(fd)


def stat_fields(pid: int) -> list[bytes]:
    """The fields of ``/proc/<pid>/stat`` after the command: state, ppid, pgrp, session, ..."""
    text = read_file(f"/proc/{pid}/stat", 4096)
    return text[text.rfind(b")") + 2 :].split()


def birth_of(pid: int) -> str:
    """What tells this process from a later one with the same number: boot and start time."""
    fields = stat_fields(pid)
    boot = read_file("/proc/sys/kernel/random/boot_id", 64).decode().strip()
    return f"{boot}/{fields[19].decode()}" if len(fields) > 19 else ""


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    text = read_file("/proc/vmstat")
    at = text.find(b"\noom_kill ")
    return int(text[at + 10 :].split(b"\n", 1)[0]) if at >= 0 else 0


def timestamp(ns: int) -> bytes:
    return (
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ns // 10**9))}.{ns % 10**9:09d}Z"
    ).encode()


class Log:
    """One container's log file with its rotated predecessors (``.1`` is the newest of them)."""

    def __init__(self, path: str, max_bytes: int, max_files: int) -> None:
        self.path, self.max_bytes, self.max_files = path, max_bytes, max_files
        self.error = ""
        self.fd = -1
        self.size = 0
        self.open()

    def open(self) -> None:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC
        self.fd = posix.open(self.path, flags, 0o600)
        self.size = posix.fstat(self.fd).st_size

    def rotate(self) -> None:
        posix.close(self.fd)
        for n in range(self.max_files - 2, 0, -1):
            try:
                posix.rename(f"{self.path}.{n}", f"{self.path}.{n + 1}")
            except FileNotFoundError:
                continue
        if self.max_files > 1:
            posix.rename(self.path, f"{self.path}.1")
        else:
            posix.unlink(self.path)
        self.open()

    def write(self, data: bytes) -> None:
        """Whole lines. A full disk loses output (said in the state), it never stops the
        container."""
        try:
            while data:
                room = self.max_bytes - self.size
                cut = len(data) if len(data) <= room else data.rfind(b"\n", 0, max(0, room)) + 1
                if not cut and self.size:
                    self.rotate()
                    continue
                cut = cut or data.find(b"\n") + 1  # one line longer than a whole file
                view = memoryview(data)[:cut]
                while view:
                    written = posix.write(self.fd, view)
                    self.size += written
                    view = view[written:]
                data = data[cut:]
        except OSError as error:
            self.error = f"log output was lost: {error.strerror}"

    def close(self) -> None:
        posix.close(self.fd)


class Stream:
    """Cuts one pipe into log lines."""

    def __init__(self, name: bytes, log: Log) -> None:
        self.name, self.log, self.rest = name, log, b""

    def feed(self, data: bytes) -> None:
        stamp = timestamp(time.time_ns())
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        full = b" " + self.name + b" F "
        partial = b" " + self.name + b" P "
        out = []
        for line in lines:
            while len(line) > MAX_LINE:
                out.append(stamp + partial + line[:MAX_LINE] + b"\n")
                line = line[MAX_LINE:]
            out.append(stamp + full + line + b"\n")
        while len(self.rest) > MAX_LINE:
            out.append(stamp + partial + self.rest[:MAX_LINE] + b"\n")
            self.rest = self.rest[MAX_LINE:]
        if out:
            self.log.write(b"".join(out))

    def end(self) -> None:
        if self.rest:
            self.feed(b"\n")


class Container:
    """One run of one container; ``id`` is ``<name>.<attempt>``."""

    def __init__(self, id_: str, log: Log | None = None) -> None:
        self.id, self.log = id_, log
        self.pid = 0
        self.birth = ""
        self.started = time.time_ns()
        self.finished = 0
        self.code = 0
        self.signal = 0
        self.oom = False
        self.reason = ""
        self.message = ""
        self.main_alive = False
        self.killed_by_us = False
        self.deadline = 0.0
        self.streams: dict[int, Stream] = {}
        self.oom_before = oom_kills() if LINUX else 0

    def fields(self) -> list[str]:
        message = self.message or (self.log.error if self.log else "")
        return [
            f"id={self.id}",
            f"pid={self.pid}",
            f"birth={self.birth}",
            f"started={self.started}",
            f"finished={self.finished}",
            f"code={self.code}",
            f"signal={self.signal}",
            f"oom={int(self.oom)}",
            f"reason={self.reason}",
            f"message={message}",
        ]

    def save(self) -> None:
        try:
            write_file(f"state/{self.id}", "\n".join(f.replace("\n", " ") for f in self.fields()))
        except OSError as error:
            sys.stderr.write(f"cannot record the state of {self.id}: {error}\n")
            sys.stderr.flush()


def become_container(argv: list[str], env: dict[str, str], cwd: str, oom: str, ready: int) -> None:
    """Runs in the child between fork and exec: what it imports costs the shim nothing."""
    import ctypes
    import os

    if LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(1, int(_signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
        if oom:
            try:
                write = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
                os.write(write, oom.encode())
                os.close(write)
            except OSError:
                oom = ""  # lowering it needs a privilege; the default is as good
    _signal.set_wakeup_fd(-1)
    for number in (_signal.SIGPIPE, _signal.SIGCHLD, _signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, _signal.SIG_DFL)
    try:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        os.chdir(cwd)
    except OSError as error:
        os.write(ready, f"the working directory {cwd}: {error.strerror}".encode())
        os._exit(128)
    try:
        os.execvpe(argv[0], argv, env)
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        os.write(ready, f"{argv[0]}: {text}".encode())
        os._exit(128)


class Shim:
    """The event loop: pipes of containers, clients of the socket, dead children, deadlines."""

    def __init__(self, listener: int) -> None:
        self.poll = select.poll()
        self.listener = _socket.socket(fileno=listener)
        self.clients: dict[int, tuple[_socket.socket, bytearray, bytearray]] = {}
        self.containers: dict[str, Container] = {}
        self.pipes: dict[int, Container] = {}
        self.exiting = False
        self.wake, wake_write = posix.pipe()
        for fd in (self.wake, wake_write):
            posix.set_blocking(fd, False)
        _signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.signal(_signal.SIGTERM, lambda *_: None)  # only `exit` or SIGKILL end a shim
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
        self.poll.register(listener, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)

    def run(self) -> None:
        while not (self.exiting and not any(not c.finished for c in self.containers.values())):
            for fd, event in self.poll.poll(self.timeout_ms()):
                if fd == self.wake:
                    self.drain_wakeups()
                elif fd == self.listener.fileno():
                    self.accept()
                elif fd in self.pipes:
                    self.read_pipe(fd)
                elif fd in self.clients:
                    self.serve_client(fd, event)
            self.reap()
            self.enforce_deadlines()
        for sock, _, out in self.clients.values():
            self.flush(sock, out)

    def timeout_ms(self) -> int | None:
        deadlines = [c.deadline for c in self.containers.values() if c.deadline and not c.finished]
        if not deadlines:
            return None
        return max(0, int((min(deadlines) - time.monotonic()) * 1000) + 1)

    def drain_wakeups(self) -> None:
        try:
            while posix.read(self.wake, 4096):
                pass
        except BlockingIOError:
            return

    # -- clients ---------------------------------------------------------------------------

    def accept(self) -> None:
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        sock = _socket.socket(fileno=fd)
        sock.setblocking(False)
        self.clients[fd] = (sock, bytearray(), bytearray())
        self.poll.register(fd, select.POLLIN)

    def drop(self, fd: int) -> None:
        sock, _, _ = self.clients.pop(fd)
        self.poll.unregister(fd)
        sock.close()

    def serve_client(self, fd: int, event: int) -> None:
        sock, inbox, outbox = self.clients[fd]
        if event & select.POLLOUT:
            self.flush(sock, outbox)
            self.poll.modify(fd, select.POLLIN | (select.POLLOUT if outbox else 0))
        if not event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(fd)
            return
        inbox += data
        while fd in self.clients:
            head = inbox.find(b"\n")
            if head < 0:
                return
            size = int(inbox[:head]) if inbox[:head].isdigit() else MAX_FRAME + 1
            if size > MAX_FRAME:
                self.drop(fd)
                return
            if len(inbox) < head + 1 + size:
                return
            frame = bytes(inbox[head + 1 : head + 1 + size])
            del inbox[: head + 1 + size]
            self.command(fd, frame.decode("utf-8", "surrogateescape").split("\0"))

    def flush(self, sock: _socket.socket, outbox: bytearray) -> None:
        try:
            while outbox:
                del outbox[: sock.send(outbox)]
        except BlockingIOError:
            return
        except OSError:
            outbox.clear()

    def send(self, fd: int, fields: list[str]) -> None:
        sock, _, outbox = self.clients[fd]
        payload = "\0".join(fields).encode("utf-8", "surrogateescape")
        outbox += b"%d\n" % len(payload) + payload
        self.flush(sock, outbox)
        if len(outbox) > MAX_QUEUED:
            self.drop(fd)  # a client that does not read asks again with `hello`
        elif outbox:
            self.poll.modify(fd, select.POLLIN | select.POLLOUT)

    def announce(self, container: Container) -> None:
        container.save()
        for fd in list(self.clients):
            self.send(fd, ["state", *container.fields()])

    # -- commands --------------------------------------------------------------------------

    def command(self, fd: int, fields: list[str]) -> None:
        verb, options = fields[0], [f.partition("=") for f in fields[1:]]
        option = {key: value for key, _, value in options}
        container = self.containers.get(option.get("id", ""))
        if verb == "hello":
            self.send(fd, ["hello", f"protocol={PROTOCOL}", f"pid={posix.getpid()}"])
            for each in self.containers.values():
                self.send(fd, ["state", *each.fields()])
            self.send(fd, ["ready"])
        elif verb == "start":
            if container is None and not self.exiting:
                argv = [value for key, _, value in options if key == "arg"]
                env = dict(value.split("=", 1) for key, _, value in options if key == "env")
                self.start(option, argv, env)
            elif container is not None:
                self.announce(container)
        elif verb == "stop" and container is not None:
            self.stop(container, int(option["signal"]), int(option["grace_ms"]))
        elif verb == "forget" and container is not None and container.finished:
            del self.containers[container.id]
            try:
                posix.unlink(f"state/{container.id}")
            except FileNotFoundError:
                return
        elif verb == "exit":
            self.exiting = True
            for each in list(self.containers.values()):
                if not each.finished:
                    self.stop(each, int(_signal.SIGKILL), 0)

    def start(self, option: dict[str, str], argv: list[str], env: dict[str, str]) -> None:
        container = Container(option["id"])
        self.containers[container.id] = container
        try:
            container.log = Log(
                option["log"], int(option["max_bytes"]), max(1, int(option["max_files"]))
            )
            problem = self.spawn(container, argv, env, option["cwd"], option.get("oom", ""))
        except OSError as error:
            problem = f"{error.strerror}: {option['log']}"
        if problem:
            container.reason, container.message = "StartError", problem
            container.code = 128
        self.announce(container)

    def spawn(
        self, container: Container, argv: list[str], env: dict[str, str], cwd: str, oom: str
    ) -> str:
        """Forks; returns what went wrong before the program ran, or an empty string."""
        out_read, out_write = posix.pipe()
        err_read, err_write = posix.pipe()
        ready_read, ready_write = posix.pipe()  # all are close-on-exec
        pid = posix.fork()
        if pid == 0:
            try:
                posix.setsid()
                null = posix.open("/dev/null", posix.O_RDONLY)
                posix.dup2(null, 0)
                posix.dup2(out_write, 1)
                posix.dup2(err_write, 2)
                become_container(argv, env, cwd, oom, ready_write)
            finally:
                posix._exit(128)
        for fd in (out_write, err_write, ready_write):
            posix.close(fd)
        container.pid, container.main_alive = pid, True
        container.birth = birth_of(pid) if LINUX else ""
        problem = posix.read(ready_read, 4096).decode("utf-8", "replace")
        posix.close(ready_read)
        assert container.log is not None
        for fd, name in ((out_read, b"stdout"), (err_read, b"stderr")):
            posix.set_blocking(fd, False)
            container.streams[fd] = Stream(name, container.log)
            self.pipes[fd] = container
            self.poll.register(fd, select.POLLIN)
        return problem

    def stop(self, container: Container, number: int, grace_ms: int) -> None:
        """Asks the whole group; what is left when the grace is over is killed."""
        if container.finished:
            self.announce(container)
            return
        deadline = time.monotonic() + grace_ms / 1000
        if not container.deadline or deadline < container.deadline:
            container.deadline = deadline
        if grace_ms > 0 and number != _signal.SIGKILL:
            try:
                posix.killpg(container.pid, number)
            except OSError:
                return  # it ended just now: reap() sees it

    # -- children --------------------------------------------------------------------------

    def read_pipe(self, fd: int) -> None:
        container = self.pipes[fd]
        try:
            data = posix.read(fd, 65536)
        except BlockingIOError:
            return
        if data:
            container.streams[fd].feed(data)
        else:
            self.close_pipe(fd)

    def close_pipe(self, fd: int) -> None:
        container = self.pipes.pop(fd)
        self.poll.unregister(fd)
        container.streams.pop(fd).end()
        posix.close(fd)

    def members(self, container: Container) -> list[int]:
        """The container's processes that still live, wherever they moved: same session, or the
        container's mark in their environment, and their descendants."""
        if not LINUX:
            return []
        me = posix.getpid()
        parents: dict[int, int] = {}
        sessions: dict[int, int] = {}
        for entry in posix.listdir("/proc"):
            if entry.isdigit():
                fields = stat_fields(int(entry))
                if len(fields) > 3 and fields[0] != b"Z":
                    parents[int(entry)], sessions[int(entry)] = int(fields[1]), int(fields[3])
        mark = f"OME_CONTAINER_ID={container.id}".encode()
        found: set[int] = set()
        for pid, parent in parents.items():
            if sessions[pid] == container.pid or (
                parent == me
                and not any(c.pid == pid for c in self.containers.values())
                and mark in read_file(f"/proc/{pid}/environ").split(b"\0")
            ):
                found.add(pid)
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            found |= more
            grown = bool(more)
        return list(found)

    def kill_members(self, container: Container) -> bool:
        """Kills what is left. False when something still lives, which the next death tells."""
        for _ in range(20):  # a fork may race with the scan
            try:
                posix.killpg(container.pid, _signal.SIGKILL)
            except OSError as error:
                if error.errno not in (errno.ESRCH, errno.EPERM):
                    raise
            left = self.members(container)
            if not left:
                return True
            for pid in left:
                try:
                    posix.kill(pid, _signal.SIGKILL)
                except OSError as error:
                    if error.errno != errno.ESRCH:
                        return False
        return False

    def reap(self) -> None:
        changed = False
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            changed = True
            for container in self.containers.values():
                if container.pid == pid and container.main_alive:
                    self.main_ended(container, status)
        if changed:
            for container in list(self.containers.values()):
                self.settle(container)

    def main_ended(self, container: Container, status: int) -> None:
        container.main_alive = False
        if posix.WIFSIGNALED(status):
            container.signal = posix.WTERMSIG(status)
            container.code = 128 + container.signal
            if container.signal == _signal.SIGKILL and not container.killed_by_us and LINUX:
                container.oom = oom_kills() > container.oom_before
        elif not container.reason:
            container.code = posix.WEXITSTATUS(status)

    def settle(self, container: Container) -> None:
        """Ends the container once its main process is gone and nothing of it is left. While it
        is being stopped, what the main process left behind has the rest of the grace period."""
        if container.finished or container.main_alive or not container.pid:
            return
        in_grace = container.deadline and time.monotonic() < container.deadline
        if in_grace and self.members(container):
            return
        self.kill_members(container)
        for fd in [fd for fd, owner in self.pipes.items() if owner is container]:
            for _ in range(1024):  # what was written before the end is kept
                try:
                    data = posix.read(fd, 65536)
                except BlockingIOError:
                    break
                if not data:
                    break
                container.streams[fd].feed(data)
            self.close_pipe(fd)
        container.finished = time.time_ns()
        if container.log is not None:
            container.log.close()
        self.announce(container)

    def enforce_deadlines(self) -> None:
        for container in self.containers.values():
            if not container.finished and not container.pid:
                container.finished = time.time_ns()  # it never started
                self.announce(container)
            if container.finished or not container.deadline:
                continue
            if time.monotonic() >= container.deadline:
                container.killed_by_us = True
                self.kill_members(container)
                container.deadline = time.monotonic() + 1  # unkillable (in the kernel): look again
                self.settle(container)


def serve(listener: int) -> None:
    posix.set_inheritable(listener, False)  # a container must not keep it open
    write_file("shim.pid", f"pid={posix.getpid()}\nbirth={birth_of(posix.getpid())}\n")
    Shim(listener).run()
    for name in ("shim.sock", "shim.pid"):
        try:
            posix.unlink(name)
        except FileNotFoundError:
            continue


def start(directory: str) -> None:
    """Binds the socket, forks away from the caller, and becomes the server in a fresh image."""
    import ctypes
    import os

    os.umask(0o077)
    os.chdir(directory)
    if not os.path.isdir("state"):  # noqa: PTH112 - pathlib is not loaded for this
        os.mkdir("state")  # noqa: PTH102
    if os.path.lexists("shim.sock"):
        os.unlink("shim.sock")  # noqa: PTH108
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind("shim.sock")  # relative: the path of a socket may not exceed 107 bytes
    listener.listen(8)
    listener.setblocking(False)
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    if LINUX:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open("shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    fd = listener.fileno()
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    if fd != 3:
        os.dup2(fd, 3)
    os.set_inheritable(3, True)
    os.closerange(4, 1024)
    os.execve(
        sys.executable,
        [sys.executable, "-I", "-S", "-E", sys.argv[0], directory, "--serve"],
        dict(os.environ),
    )


if __name__ == "__main__":
    if sys.argv[2:] == ["--serve"]:
        serve(3)
    else:
        start(sys.argv[1])
