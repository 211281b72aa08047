"""What judging costs: a `JudgeUsage` for each sample, and the `JudgeStats` of a worker.

The numbers of a sample go into its result, and from there into veRL's metrics. The stats of a worker go into its log and,
where a port is set, to Prometheus.

    usage = JudgeUsage()
    report = await judge.judge(reference, prediction, task, usage)
    stats.add(usage)
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from visual_erm.errors import ConfigError

log = logging.getLogger(__name__)

FAILURES = ("connection", "timeout", "stalled", "status", "malformed", "unreadable")
"""Kinds of failed requests: no connection; no answer in time; given up because the endpoint stalled; an error status; an
answer that is no chat completion; a completion that holds no report."""
PERCENTILES = {"p50": 0.5, "p95": 0.95}
"""Name of a percentile -> the share of values that do not exceed it."""
RECENT = 1024
"""Requests that the percentiles look at."""
PORTS = 64
"""Ports that are tried, from the one that is set: so many workers may share a node."""


@dataclass
class JudgeUsage:
    """What one judgement cost; the judge fills it in."""

    calls: int = 0
    """Requests sent, those that failed and second ones included."""
    retries: int = 0
    """Requests sent because another had failed."""
    hedges: int = 0
    """Requests sent because another took long."""
    identical: int = 0
    """1: no call, the two images are the same."""
    shared: int = 0
    """1: no call of its own, an equal pair was being judged."""
    cached: int = 0
    """1: no call, an equal pair had been judged."""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    queue_ms: float = 0.0
    """Milliseconds of waiting for a place at an endpoint."""
    call_ms: float = 0.0
    """Milliseconds from sending to the end of the answer, summed over the requests that were answered."""
    endpoint: str = ""
    """The endpoint that answered."""
    failures: Counter[str] = field(default_factory=Counter)
    """Failed requests by kind, see FAILURES."""

    def numbers(self) -> dict[str, float]:
        """Returns the entries `judge_<name>` of a result, the same ones for every sample: veRL logs them."""
        plain = {name: value for name, value in vars(self).items() if name not in ("endpoint", "failures")}
        failures = {f"failed_{kind}": self.failures[kind] for kind in FAILURES}
        return {f"judge_{name}": round(float(value), 2) for name, value in {**plain, **failures}.items()}


class JudgeStats:
    """What a worker's judge has done so far."""

    def __init__(self) -> None:
        self.judgements = 0
        self.counts: Counter[str] = Counter()
        """Calls, retries, hedges, reuse, tokens, and `failed_<kind>`."""
        self.answers: Counter[str] = Counter()
        """Answered requests, by endpoint."""
        self.queue_ms: deque[float] = deque(maxlen=RECENT)
        self.call_ms: deque[float] = deque(maxlen=RECENT)

    def add(self, usage: JudgeUsage) -> None:
        """Adds what one judgement cost.

        Args:
            usage: What the judge counted.
        """
        self.judgements += 1
        for name, value in usage.numbers().items():
            if not name.endswith("_ms") and value:
                self.counts[name.removeprefix("judge_")] += int(value)
        if usage.calls:
            self.queue_ms.append(usage.queue_ms)
        if usage.endpoint:
            self.answers[usage.endpoint] += 1
            self.call_ms.append(usage.call_ms)

    def summary(self) -> dict[str, Any]:
        """Returns everything as plain JSON: counts, the endpoints' shares of the answers, percentiles in milliseconds."""
        answers = sum(self.answers.values())
        return {
            "judgements": self.judgements,
            **{name: self.counts[name] for name in ("calls", "retries", "hedges", "identical", "shared", "cached")},
            **{name: self.counts[name] for name in ("prompt_tokens", "reply_tokens")},
            "failures": {kind: self.counts[f"failed_{kind}"] for kind in FAILURES},
            "endpoint_share": {url: round(count / answers, 4) for url, count in sorted(self.answers.items())},
            "queue_ms": {name: round(percentile(self.queue_ms, share), 1) for name, share in PERCENTILES.items()},
            "call_ms": {name: round(percentile(self.call_ms, share), 1) for name, share in PERCENTILES.items()},
        }

    def collect(self) -> Iterator[Any]:
        """Yields the same for Prometheus, which calls this from a thread of its own."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        summary = self.summary()
        for name in ("judgements", "calls", "retries", "hedges", "prompt_tokens", "reply_tokens"):
            yield CounterMetricFamily(f"visual_erm_judge_{name}", f"{name.replace('_', ' ').capitalize()}.", summary[name])
        saved = CounterMetricFamily("visual_erm_judge_saved", "Judgements without a call of their own.", labels=["how"])
        for how in ("identical", "shared", "cached"):
            saved.add_metric([how], summary[how])
        failed = CounterMetricFamily("visual_erm_judge_failures", "Failed requests.", labels=["kind"])
        for kind, count in summary["failures"].items():
            failed.add_metric([kind], count)
        answers = CounterMetricFamily("visual_erm_judge_answers", "Answered requests.", labels=["endpoint"])
        for url, count in dict(self.answers).items():
            answers.add_metric([url], count)
        yield from (saved, failed, answers)
        for stage in ("queue", "call"):
            time = GaugeMetricFamily(
                f"visual_erm_judge_{stage}_ms", f"Milliseconds of the last {RECENT} requests.", labels=["percentile"]
            )
            for name, value in summary[f"{stage}_ms"].items():
                time.add_metric([name], value)
            yield time


def percentile(values: Collection[float], share: float) -> float:
    """Finds the value that a share of values does not exceed.

    Args:
        values: The values, in any order.
        share: The share, 0 to 1.

    Returns:
        The value; 0 where there are none.

    >>> percentile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def publish(stats: JudgeStats, port: int, host: str) -> None:
    """Serves stats to Prometheus for as long as the process lives.

    Args:
        stats: The stats of this worker.
        port: The first port that is tried, of PORTS.
        host: Address to listen on. Everyone who reaches it can read the stats.

    Raises:
        ConfigError: None of the ports is free there.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(stats)
    for number in range(port, min(port + PORTS, 65536)):
        try:
            start_http_server(number, addr=host, registry=registry)
            break
        except OSError as error:
            log.debug("port %d: %s", number, error)
    else:
        raise ConfigError(
            f"judge.metrics_port: none of {PORTS} ports from {port} is free at {host}; give another, or null, or check "
            "judge.metrics_host"
        )
    log.info("judge: metrics at %s, port %d", host, number)
