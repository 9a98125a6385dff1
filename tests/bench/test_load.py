"""What wrk says, read."""

import pytest

from bench.load import Load, read_load

OUTPUT = """\
Running 1s test @ https://127.0.0.1:34567
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   438.61us  130.11us   3.52ms   91.45%
    Req/Sec     9.09k   412.63     9.58k    70.00%
  9051 requests in 1.00s, 2.77MB read
  Non-2xx or 3xx responses: 3
Requests/sec:   9045.33
Transfer/sec:      2.77MB
measured: {"requests": 9051, "duration_us": 1000625, "refused": 3, "broken": 2, "latency_us": \
{"50": 413, "99": 869, "99.9": 1900}}
"""


def test_the_line_of_our_script_is_what_counts():
    load = read_load(OUTPUT)
    assert load == Load(9051, 1.000625, 3, 2, {50: 0.413, 99: 0.869, 99.9: 1.9})
    assert load.errors == 5
    assert round(load.per_second) == 9045


def test_no_such_line_is_an_error():
    with pytest.raises(ValueError, match="unable to connect"):
        read_load("unable to connect to 127.0.0.1:1 Connection refused")
