"""Load from wrk, and what it saw."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Every connection takes the next token. `delay` holds a request back, so that a rate below the greatest is kept.
_SCRIPT = """
local tokens = {}
for line in io.lines("%(tokens)s") do tokens[#tokens + 1] = line end
local next = 0
request = function()
  next = next %% #tokens + 1
  return wrk.format("GET", "%(target)s", {["Authorization"] = "Bearer " .. tokens[next]})
end
%(delay)s
done = function(summary, latency, requests)
  local errors = summary.errors
  local form = '\\n{"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "failed": %%d}\\n'
  io.write(string.format(form, summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """`connections` that ask for `target` again and again; each waits `pause_ms` before it asks."""

    target: str
    tokens: Path
    connections: int
    seconds: float
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it: latencies in milliseconds; `failed` counts errors, time-outs and statuses above 399."""

    requests: int
    seconds: float
    p50: float
    p99: float
    failed: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


async def run(url: str, load: Load, folder: Path) -> Seen:
    """Load the server at `url`. Raises `RuntimeError` when wrk does."""
    delay = f"delay = function() return {load.pause_ms} end" if load.pause_ms else ""
    script = folder / f"load-{load.connections}-{load.pause_ms}.lua"
    script.write_text(_SCRIPT % {"tokens": load.tokens, "target": load.target, "delay": delay})
    process = await asyncio.create_subprocess_exec(
        "wrk", "--threads", "1", "--connections", str(load.connections), "--duration", f"{load.seconds:.0f}s",
        "--timeout", "30s", "--script", str(script), url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(output.decode())
    result: dict[str, Any] = json.loads(output.decode().strip().splitlines()[-1])
    return Seen(**result)
