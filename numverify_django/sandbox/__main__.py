"""``python -m numverify_django.sandbox``: run the sandbox operator until Ctrl-C."""

import argparse
import os
import signal
import sys

try:
    from .server import listen
except ModuleNotFoundError as error:
    sys.exit(f"The sandbox needs {error.name}: pip install 'numverify-django[sandbox]'")

PORT = 9091


def port(text: str) -> int:
    """Return the port that ``text`` names, or raise ValueError."""
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError
    return number


def main() -> None:
    """Serve, after one line that tells where."""
    parser = argparse.ArgumentParser(prog="python -m numverify_django.sandbox", description=__doc__)
    parser.add_argument("--port", type=port, default=PORT, help=f"0 takes any free one (default: {PORT})")
    arguments = parser.parse_args()
    # At once: a KeyboardInterrupt is lost when it comes while some object is finalized
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    server = listen(arguments.port)
    sys.stdout.write(f"Sandbox operator: http://{server.host}:{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
