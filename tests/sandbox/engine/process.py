"""One process, three loopback ports: MiniStack with everything here plugged in, GitHub, and the control endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from .settings import Settings

HOST = "127.0.0.1"
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH")


def serve(state_file: Path, port: int = 0, github_port: int = 0, control_port: int = 0) -> None:
    """Serves until SIGTERM or SIGINT. The state file appears when all three ports accept connections."""
    sockets = [_bound(port), _bound(github_port), _bound(control_port)]
    ports = [bound.getsockname()[1] for bound in sockets]
    settings = Settings.from_environment()
    state_file.parent.mkdir(parents=True, exist_ok=True)
    _prepare_environment(settings, ports[0], state_file.parent)
    asyncio.run(_serve(settings, sockets, ports, state_file))


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


def _prepare_environment(settings: Settings, port: int, folder: Path) -> None:
    """MiniStack reads its settings on import, so this comes first."""
    scratch = folder / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    # Functions inherit what is left here, so it is as bare as in Lambda.
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    level = os.environ.get("SANDBOX_LOG_LEVEL", "WARNING")
    authorize = os.environ.get("SANDBOX_AUTHORIZE", "false")
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(
        {
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": settings.region,
            "MINISTACK_ACCOUNT_ID": settings.account,
            "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "sandbox-session",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(settings.durations.lambda_retry),
            "TMPDIR": str(scratch),
            # No container runs here.
            "DOCKER_HOST": f"unix://{scratch}/no-docker.sock",
            "LOG_LEVEL": level,
            # MiniStack then checks signatures and evaluates IAM policies.
            "AUTH": authorize,
        }
    )


async def _serve(settings: Settings, sockets: list[socket.socket], ports: list[int], state_file: Path) -> None:
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config

    from .server import SandboxServer

    world = SandboxServer(settings, *ports[:2])
    # MiniStack has read its own; a function has one of the same name.
    os.environ.pop("LOG_LEVEL")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = []
    for bound, app in zip(sockets, (world.aws, world.github_app, world.control_app), strict=True):
        config = Config()
        config.bind = [f"fd://{bound.fileno()}"]
        config.accesslog = None
        config.loglevel = "WARNING"
        config.keep_alive_timeout = 75
        config.graceful_timeout = 0.2
        servers.append(asyncio.create_task(hypercorn(app, config, shutdown_trigger=stop.wait)))
    ticker = asyncio.create_task(_tick(world, stop))
    await _answering(ports)
    state = {
        "pid": os.getpid(),
        "aws": f"http://{HOST}:{ports[0]}",
        "github": f"http://{HOST}:{ports[1]}",
        "control": f"http://{HOST}:{ports[2]}",
        "region": settings.region,
        "account": settings.account,
    }
    # Atomically, since other processes wait for the file.
    written = state_file.with_suffix(".new")
    written.write_text(json.dumps(state) + "\n")
    written.replace(state_file)
    print(json.dumps(state), flush=True)
    await stop.wait()
    await asyncio.gather(*servers, ticker, return_exceptions=True)
    world.close()
    state_file.unlink(missing_ok=True)


async def _tick(world: Any, stop: asyncio.Event) -> None:
    pause = world.core.pace.tick
    while not stop.is_set():
        await asyncio.to_thread(world.step, time.time())
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue


async def _answering(ports: list[int]) -> None:
    for port in ports:
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
