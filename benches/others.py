"""What localtrail is compared with: moto_server and ministack (`requirements.txt`), nginx as a plain proxy."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

from serve import rss_mib

# Nothing is logged, connections to both sides are kept, no body is put on disk.
NGINX = """
{user}
worker_processes {workers};
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    {upstream}
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""
ANSWER = "<Response><requestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</requestId></Response>"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def await_port(port, process, seconds=60):
    """Returns as soon as `port` takes connections."""
    deadline = time.perf_counter() + seconds
    while process.poll() is None and time.perf_counter() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.0005)
    raise RuntimeError(f"{process.args[0]} does not listen")


class Emulator:
    """An emulator as a Python package."""

    def __init__(self, name, script, arguments=(), **environment):
        self.name, self.arguments, self.environment = name, arguments, environment
        # Beside the Python that runs this: the packages of requirements.txt are installed there.
        self.script = pathlib.Path(sys.executable).with_name(script)
        self.is_here = self.script.exists()

    def start(self):
        port, began = free_port(), time.perf_counter()
        fill = {"port": str(port)}
        command = [self.script, *(argument.format(**fill) for argument in self.arguments)]
        environment = os.environ | {name: value.format(**fill) for name, value in self.environment.items()}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(port, process)
        return process, port, began


EMULATORS = [
    Emulator("moto_server", "moto_server", ["-H", "127.0.0.1", "-p", "{port}"]),
    # Recording is what it is compared in; it is off unless asked for.
    Emulator("ministack", "ministack", GATEWAY_PORT="{port}", BIND_HOST="127.0.0.1", CLOUDTRAIL_RECORDING="1"),
]


def tree_mib(process):
    """Resident memory of a process and its children."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    sizes = [re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{child}/status").read_text()) for child in children]
    return rss_mib(process) + sum(int(size.group(1)) for size in sizes if size) / 1024


def missing(*programs):
    """Those of `programs` that are not installed."""
    return [program for program in programs if not shutil.which(program)]


def nginx(folder, upstream=None, page=0):
    """nginx in the foreground, its files in `folder`: one that answers by itself, or a proxy of the port `upstream`.

    The one that answers has also a `/page` of that many bytes.
    """
    folder = folder.resolve()
    folder.mkdir()
    (folder / "page").write_bytes(b"x" * page)
    port = free_port()
    if upstream is None:
        parts = {"workers": 1, "upstream": "", "location": f"location = /page {{ root {folder}; }}\n"
                 f'location / {{ default_type text/xml; return 200 "{ANSWER}"; }}'}
    else:
        parts = {
            "workers": "auto",
            "upstream": f"upstream behind {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}",
            "location": 'location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }',
        }
    # Started by root, it would become someone who may not read the folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(port=port, user=user, **parts))
    command = ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    await_port(port, process)
    return process, port


def versions(binary):
    """What was measured, by name and version."""
    found = [subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip()]
    requirements = pathlib.Path(__file__).with_name("requirements.txt").read_text().split()
    found += [line.replace("==", " ").replace("[server]", "") for line in requirements]
    if not missing("nginx"):
        found.append(subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().rpartition(" ")[2].replace("/", " "))
    return found
