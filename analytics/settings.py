"""Every setting, once: its name, default and meaning. `app.py` reads them from flags and PLUMBLINE_*
variables, and `serve --help` lists them from here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec


class Setting(msgspec.Struct, frozen=True):
    """What a person needs to know of one setting."""

    help: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one Plumbline process runs."""

    host: Annotated[str, Setting("address to listen on")] = "127.0.0.1"
    port: Annotated[int, Setting("port to listen on; 0 takes a free one")] = 5006
    data: Annotated[Path, Setting("directory of the database, keys and secrets; made when missing")] = Path(
        ".plumbline"
    )
    workspace: Annotated[list[Path], Setting("further workspace YAML file; may be given several times")] = []
    demo: Annotated[bool, Setting("run the demo fleet: two hours of history, then live")] = True
    demo_seed: Annotated[int, Setting("seed of the demo fleet")] = 7
    host_metrics: Annotated[
        bool | None, Setting("send this machine's own CPU, memory, disk and network; on with the demo")
    ] = None
    origin: Annotated[list[str], Setting("further host:port whose pages may connect with a login cookie")] = []
    embed_origin: Annotated[
        list[str], Setting("site such as https://shop.example whose pages may embed boards; may be given several times")
    ] = []
    secure_cookie: Annotated[bool, Setting("mark the login cookie Secure; set it behind HTTPS")] = False
    tick_s: Annotated[float, Setting("seconds between two ticks of live boards")] = 1.0
    min_tick_s: Annotated[float, Setting("least seconds between two ticks when new data wakes the hub early")] = 0.25
    deadline_s: Annotated[float, Setting("seconds a query may take before it is cancelled")] = 5.0
    readers: Annotated[int, Setting("reader threads of the store")] = 3
    memory_limit: Annotated[str, Setting("memory the store's engine may use")] = "2GB"
    ingest_mb: Annotated[int, Setting("largest intake body in MB, as it arrives")] = 16
    unpacked_mb: Annotated[int, Setting("largest intake body in MB, unpacked")] = 64
    keep_text: Annotated[
        bool, Setting("store prompts and answers that OTLP attributes carry, else only their length")
    ] = False
    upload_mb: Annotated[int, Setting("largest file in MB that the page Load data takes")] = 2048
    message_kb: Annotated[int, Setting("largest inbound socket message in KiB")] = 64
    messages_per_s: Annotated[int, Setting("socket messages a second and socket")] = 20
    message_burst: Annotated[int, Setting("socket messages at once")] = 40
    socket_subscriptions: Annotated[int, Setting("subscriptions per socket")] = 100
    socket_in_flight: Annotated[int, Setting("requests under way per socket")] = 16
    socket_buffer_kb: Annotated[int, Setting("unsent bytes in KiB after which a slow reader is skipped")] = 256
    slow_s: Annotated[float, Setting("seconds a reader may stay behind before its socket is closed")] = 30.0
    key_messages_per_s: Annotated[int, Setting("socket messages a second of all sockets of one key")] = 200
    sockets: Annotated[int, Setting("open sockets")] = 5000
    sockets_per_key: Annotated[int, Setting("open sockets of one key")] = 50
    lifetime_h: Annotated[float, Setting("hours after which a socket is closed, to come back")] = 24.0
    ping_s: Annotated[float, Setting("seconds between two pings of a socket")] = 20.0
    self_s: Annotated[float, Setting("seconds between two readings of Plumbline itself; 0 takes none")] = 2.0
    ask_model_url: Annotated[
        str | None, Setting("OpenAI-compatible endpoint for questions that the grammar does not understand; else off")
    ] = None
    ask_model: Annotated[
        str | None, Setting("name of its model; its key comes from the variable PLUMBLINE_ASK_MODEL_KEY alone")
    ] = None
    log_format: Annotated[str, Setting("text, or json for one object a line")] = "text"
    log_level: Annotated[str, Setting("debug, info, warning or error")] = "warning"
