"""`tonnage serve`: the pages on this machine."""

from tonnage.errors import QuestionError, UnsupportedError
from tonnage.verbs import Call
from tonnage.verbs.numbers import number

HOST, PORT = "127.0.0.1", 8765


def run(call: Call) -> int:
    """Serve until it is stopped."""
    call.words_between(0, 0)
    port = number(call, "port", float(PORT))
    if not port.is_integer() or not 0 <= port < 65536:
        raise QuestionError(f"port={port:g}: must be a whole number from 0 to 65535")
    try:
        import uvicorn

        from tonnage.serve.app import create_app
    except ImportError as error:
        raise UnsupportedError(f"the server needs {error.name}: pip install 'tonnage[serve]'") from None
    host = str(call.face.get("host", HOST))
    uvicorn.run(create_app(), host=host, port=int(port), log_level="info")
    return 0
