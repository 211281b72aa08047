"""What stands in for vLLM in the tests of the supervisor, and the supervisor over it, as processes of their own.

python serve_standin.py server PORT FOLDER    answers as vLLM does; a file PORT.die, PORT.silent or PORT.other in FOLDER
                                              makes it die at once, answer nothing, or serve another model
python serve_standin.py supervise FOLDER PORT…   the supervisor, with short timeouts
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"


def serve(port: int, folder: Path) -> None:
    print("a stand-in, without the key in its log", flush=True)
    if (folder / f"{port}.die").exists():
        sys.exit("out of memory, says the stand-in")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if (folder / f"{port}.silent").exists():
                time.sleep(1000)
            key = os.environ.get("VLLM_API_KEY")
            if self.path != "/health" and key and self.headers.get("Authorization") != f"Bearer {key}":
                self.send_error(401)
                return
            name = "other" if (folder / f"{port}.other").exists() else "visual-erm"
            body = json.dumps({"data": [{"id": name}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    # Like vLLM's engine: a process that does not end by itself when the server is killed.
    subprocess.Popen([sys.executable, "-S", "-c", STUBBORN])
    Path(os.environ["TMPDIR"], "left-behind").touch()
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def supervise(folder: Path, ports: list[int]) -> None:
    from visual_erm.serve.plan import ServerPlan
    from visual_erm.serve.supervisor import Supervisor, Timeouts

    servers = [
        ServerPlan(
            port,
            (sys.executable, __file__, "server", str(port), str(folder)),
            {"OF": str(port)},
            f"http://127.0.0.1:{port}",
            f"http://judge:{port}/v1",
        )
        for port in ports
    ]
    timeouts = Timeouts(
        startup=4,
        unresponsive=2,
        delist_after=0.5,
        probe=0.5,
        probe_interval=0.1,
        reset_after=600,
        first_pause=0.1,
        max_pause=0.3,
        grace=0.5,
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(Supervisor(servers, "visual-erm", folder / "logs", folder / "endpoints", os.environ, timeouts).run())


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "server":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        serve(int(rest[0]), Path(rest[1]))
    else:
        supervise(Path(rest[0]), [int(port) for port in rest[1:]])
