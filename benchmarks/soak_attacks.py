"""What a policy might try, in short: what the soak mixes among honest scripts and documents. `tests/attacks` has more."""

from __future__ import annotations

SCRIPTS = {
    "reads a file": "print(open('/etc/passwd').read())",
    "reads a picture": "import matplotlib.pyplot as plt; plt.imread('/data/reference.png')",
    "looks for secrets": "import os, pathlib; pathlib.Path(f'/proc/{os.getppid()}/environ').read_bytes()",
    "forks": "import os\nwhile True:\n    os.fork()",
    "runs a shell": "import subprocess; subprocess.run('id; sleep 600 &', shell=True, check=True)",
    "starts threads": "import threading, time\nfor _ in range(99): threading.Thread(target=time.sleep, args=(9,)).start()",
    "calls home": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
    "kills": "import os; os.kill(os.getppid(), 9)",
    "takes memory": "hoard = [bytearray(10 ** 8) for _ in range(60)]",
    "leaves files": "import os\nfor number in range(300):\n    os.makedirs(f'{number}/a/b/c')",
    "ends": "import os; os._exit(0)",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "calls itself": "def again(): again()\nagain()",
    "forges a result": "import os; os.write(3, b'\\x89drawing' + bytes(10_000))",
    "speaks for another": "import os\nfor number in range(64):\n    try:\n        os.write(number, bytes(99))\n"
    "    except OSError:\n        pass",
    "is too large": "import matplotlib.pyplot as plt; plt.figure(figsize=(300, 300)); plt.plot([1])",
}
ENDLESS_SCRIPTS = {
    "never ends": "while True: pass",
    "waits": "import time\nwhile True:\n    time.sleep(0.001)",
}
_SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">{}</svg>'
DOCUMENTS = {
    "shows a file": _SVG.format('<image xlink:href="file:///data/reference.png" width="9" height="9"/>'),
    "calls home": _SVG.format('<image xlink:href="http://127.0.0.1:9/" width="9" height="9"/>'),
    "has an entity": '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + _SVG.format("<text>&a;</text>"),
    "is deep": _SVG.format("<g>" * 220 + "</g>" * 220),
    "is no drawing": "<html><body>no</body></html>",
}
