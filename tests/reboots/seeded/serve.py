# Says the host's name to everyone on port 80. Only what Debian's python3-minimal has.
import _thread
import socket


def answer(connection: socket.socket) -> None:
    try:
        connection.recv(4096)
        body = socket.gethostname().encode() + b"\n"
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    except OSError:
        pass
    finally:
        connection.close()


if __name__ == "__main__":
    door = socket.socket(socket.AF_INET6)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("", 80))
    door.listen(128)
    while True:
        _thread.start_new_thread(answer, (door.accept()[0],))
