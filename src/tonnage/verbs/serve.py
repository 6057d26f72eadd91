"""`tonnage serve`: the pages on this machine, or in public."""

import os
import socket
import tempfile
from typing import Any

from tonnage.errors import QuestionError, UnsupportedError
from tonnage.verbs import Call
from tonnage.verbs.numbers import number

HOST, PORT = "127.0.0.1", 8765
KEEP_ALIVE_SECONDS, SHUTDOWN_SECONDS = 15, 10
MOST_WORKERS = 256


def run(call: Call) -> int:
    """Serve until it is stopped; what is being answered then is answered yet."""
    call.words_between(0, 0)
    port, workers = _whole(call, "port", PORT, 0, 65535), _whole(call, "workers", 1, 1, MOST_WORKERS)
    rate = number(call, "rate", 20.0)
    if not 0 <= rate <= 1e6:
        raise QuestionError(f"rate={rate:g}: must be 0, for no limit, or requests per second")
    try:
        import uvicorn

        from tonnage.serve.settings import VARIABLE, Settings
    except ImportError as error:
        raise UnsupportedError(f"the server needs {error.name}: pip install 'tonnage[serve]'") from None
    with tempfile.TemporaryDirectory(prefix="tonnage-") as folder:
        settings = Settings(
            origin=str(call.face.get("origin", "")).rstrip("/"),
            hub="offline" not in call.face,
            rate=rate,
            counts=folder if workers > 1 else "",
        )
        os.environ[VARIABLE] = settings.to_environment()
        config = uvicorn.Config("tonnage.serve.app:from_workers", factory=True, workers=workers, port=port, **_how(call))
        if workers == 1:
            uvicorn.Server(config).run()
        else:
            _share(config)
    return 0


def _share(config: Any) -> None:
    """Workers on one socket, as uvicorn.run starts them.

    asyncio sets TCP_NODELAY only on sockets that name their protocol, and uvicorn's shared one does not: without it
    a kept connection waits 40 ms for the body of every answer. Accepted sockets have it from the listening one.
    """
    from uvicorn.supervisors import Multiprocess

    shared = config.bind_socket()
    shared.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    Multiprocess(config, sockets=[shared]).run()


def _how(call: Call) -> dict[str, Any]:
    """How the server deals with connections; who is in front of it may say who asks."""
    return {
        "host": str(call.face.get("host", HOST)),
        "access_log": False,
        "server_header": False,
        "forwarded_allow_ips": str(call.face.get("proxies", "127.0.0.1")),
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        "log_level": "info",
    }


def _whole(call: Call, name: str, default: int, least: int, most: int) -> int:
    value = number(call, name, float(default))
    if not value.is_integer() or not least <= value <= most:
        raise QuestionError(f"{name}={value:g}: must be a whole number from {least} to {most}")
    return int(value)
