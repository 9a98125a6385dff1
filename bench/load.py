"""Load made by wrk: requests over keep-alive connections, as many as the server answers."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# wrk cycles through the requests in order. A percentile is asked for in microseconds.
_SCRIPT = """\
wrk.method = "{method}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[{body}]]
local requests, last = {{}}, 0
init = function()
  for line in io.lines("{targets}") do
    local path, authorization = line:match("^(%S+) (.+)$")
    wrk.headers["Authorization"] = authorization
    requests[#requests + 1] = wrk.format(nil, path)
  end
end
request = function()
  last = last % #requests + 1
  return requests[last]
end
done = function(summary, latency)
  local errors = summary.errors
  local percentiles = {{}}
  for index, percent in ipairs({{50, 75, 90, 95, 99, 99.9}}) do
    percentiles[index] = string.format('"%g": %d', percent, latency:percentile(percent))
  end
  print(string.format('{mark}{{"requests": %d, "duration_us": %d, "refused": %d, "broken": %d, '
    .. '"latency_us": {{%s}}}}', summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(percentiles, ", ")))
end
"""
_MARK = "measured: "


@dataclass(frozen=True)
class Target:
    """Where a request goes and who makes it: a path and an Authorization header."""

    path: str
    authorization: str


@dataclass(frozen=True)
class Load:
    """What wrk measured; latencies in milliseconds by percentile."""

    requests: int
    seconds: float
    refused: int
    """Answered, but with another status than 2xx or 3xx."""
    broken: int
    """Not answered: connections refused, reset or timed out."""
    latency_ms: Mapping[float, float]

    @property
    def per_second(self) -> float:
        """All answers a second."""
        return self.requests / self.seconds

    @property
    def errors(self) -> int:
        """Requests that did not get what they asked for."""
        return self.refused + self.broken


def run_wrk(
    origin: str,
    targets: Sequence[Target],
    *,
    body: str,
    connections: int,
    seconds: float,
    method: str = "POST",
) -> Load:
    """Return what `connections` connections got in `seconds`, cycling through `targets`."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "targets"
        lines.write_text("".join(f"{one.path} {one.authorization}\n" for one in targets))
        script = Path(folder) / "script.lua"
        script.write_text(_SCRIPT.format(method=method, body=body, targets=lines, mark=_MARK))
        duration = f"-d{max(1, round(seconds))}s"
        # A slow answer is an answer: wrk itself would count it as an error after 2 seconds.
        command = ["wrk", "-t1", f"-c{connections}", duration, "--timeout", "60s"]
        output = subprocess.run(
            [*command, "-s", script, origin], check=True, capture_output=True, text=True
        ).stdout
    return read_load(output)


def read_load(output: str) -> Load:
    """Return what is in wrk's output. ValueError when the script's line is not there."""
    _, mark, line = output.rpartition(_MARK)
    if not mark:
        raise ValueError(f"wrk measured nothing:\n{output}")
    found = json.loads(line)
    return Load(
        requests=found["requests"],
        seconds=found["duration_us"] / 1e6,
        refused=found["refused"],
        broken=found["broken"],
        latency_ms={float(key): value / 1e3 for key, value in found["latency_us"].items()},
    )
