"""Many endpoints: which is asked, what becomes of one that fails, stalls, leaves or joins, and of its requests."""

import asyncio
import itertools
import json
import logging
import ssl
import subprocess
import time

import pytest
from aiohttp import web
from openai_server import OpenAIServer, completion, held, page, serving, slowly, status, until
from PIL import Image
from ports import free_port

from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.judge import endpoint_pool
from visual_erm.judge.endpoint import Endpoint
from visual_erm.judge.endpoint_pool import read_endpoints
from visual_erm.judge.remote import RemoteJudge
from visual_erm.judge.usage import JudgeStats, JudgeUsage
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task

TABLE = load_task("table")
GOOD = completion(json.dumps({"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 0, "errors": []}))
WHITE, GRAY = Image.new("RGB", (40, 30), "white"), Image.new("RGB", (50, 20), "grey")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(endpoint_pool, "FIRST_COOLDOWN_S", 0.05)
    monkeypatch.setattr(endpoint_pool, "LONGEST_COOLDOWN_S", 0.2)
    monkeypatch.setattr(endpoint_pool, "STALL_S", 0.5)
    monkeypatch.setattr(endpoint_pool, "FILE_TICKS", 1)


def judge(*endpoints: str, **changes) -> RemoteJudge:
    return RemoteJudge(
        JudgeSettings(kind="remote", endpoints=endpoints, **{"timeout_s": 60, "unavailable_timeout_s": 5, **changes})
    )


async def judged(asked: RemoteJudge, count: int) -> JudgeStats:
    """The stats of so many judgements, all in flight at once."""
    stats = JudgeStats()

    async def one() -> None:
        usage = JudgeUsage()
        await asked.judge(WHITE, GRAY, TABLE, usage)
        stats.add(usage)

    await asyncio.gather(*(one() for _ in range(count)))
    return stats


# Failing


async def test_an_endpoint_that_fails_is_asked_again_with_one_request_and_then_gets_its_share():
    async with OpenAIServer(status(500, "starting"), GOOD) as shaky, OpenAIServer(slowly(GOOD, 0.05)) as steady:
        asked = judge(shaky.url, steady.url, max_in_flight=4)
        stats = await judged(asked, 60)
        await asked.close()
    assert stats.judgements == 60 and stats.counts["failed_status"] >= 1
    assert stats.answers[shaky.url] > 1


async def test_a_server_that_is_gone_is_told_from_one_that_is_late():
    async with OpenAIServer(GOOD) as gone:
        asked = judge(gone.url, unavailable_timeout_s=0.3)
        await judged(asked, 1)
    usage = JudgeUsage()
    with pytest.raises(JudgeUnavailable, match="cannot be reached"):
        await asked.judge(WHITE, GRAY, TABLE, usage)
    await asked.close()
    assert set(usage.failures) == {"connection"}


async def test_while_an_endpoint_is_tried_it_gets_one_request_at_a_time():
    async with OpenAIServer(status(503, "loading")) as shaky, OpenAIServer(slowly(GOOD, 0.02)) as steady:
        asked = judge(shaky.url, steady.url, max_in_flight=8)
        await judged(asked, 20)
        sent, shaky.most_in_flight = len(shaky.bodies), 0
        await judged(asked, 200)
        await asked.close()
    assert len(shaky.bodies) > sent
    assert shaky.most_in_flight == 1


@pytest.mark.parametrize(
    "malformed", [page("<html>"), completion("nice tables"), status(404, "no such model")], ids=["page", "prose", "404"]
)
async def test_an_endpoint_with_malformed_answers_at_once_does_not_draw_all_requests_to_itself(malformed):
    async with OpenAIServer(malformed) as bad, OpenAIServer(slowly(GOOD, 0.05)) as good:
        asked = judge(bad.url, good.url, max_in_flight=8)
        stats = await judged(asked, 100)
        await asked.close()
    assert stats.judgements == 100 and stats.answers == {good.url: 100}
    assert len(bad.bodies) < 40


async def test_the_health_of_one_that_failed_is_asked_before_a_sample_is_risked():
    healthy, asked_for = [], []

    async def health(request: web.Request) -> web.Response:
        asked_for.append(time.monotonic())
        return web.Response(status=200 if healthy else 503)

    shaky = OpenAIServer(status(500, "dying"), routes={"/health": health})
    async with shaky, OpenAIServer(GOOD) as steady:
        asked = judge(shaky.url, steady.url)
        await judged(asked, 10)
        await until(lambda: len(asked_for) > 2)
        await judged(asked, 10)
        sent = len(shaky.bodies)
        assert sent <= 10
        shaky.script[:] = [GOOD]
        healthy.append(True)
        known = len(asked_for)
        await until(lambda: len(asked_for) > known)
        await asyncio.sleep(0.1)
        await judged(asked, 10)
        assert len(shaky.bodies) > sent
        await asked.close()


async def test_whether_a_server_works_again_is_found_out_at_no_samples_cost(monkeypatch):
    monkeypatch.setattr(endpoint_pool, "STALL_S", 60)
    async with OpenAIServer(status(503, "loading")) as shaky, OpenAIServer(GOOD) as steady:
        asked = judge(shaky.url, steady.url)
        await judged(asked, 4)
        shaky.script[:] = [held(GOOD)]
        while not shaky.in_flight:
            await asyncio.wait_for(judged(asked, 4), 5)
        sent = len(shaky.bodies)
        for _ in range(20):
            await asyncio.wait_for(judged(asked, 4), 5)
        assert len(shaky.bodies) == sent
        shaky.released.set()
        while len(shaky.bodies) == sent:
            await judged(asked, 4)
        await asked.close()


@pytest.mark.parametrize("probe", ["health_problem", "ask_models"])
@pytest.mark.parametrize("error", [RuntimeError("odd"), OSError(5, "EIO"), UnicodeError("idna"), KeyError("x")], ids=repr)
async def test_whatever_a_probe_raises_the_endpoint_is_asked_again(monkeypatch, probe, error):
    asked_for = []
    whole = getattr(Endpoint, probe)

    async def odd(endpoint: Endpoint) -> str:
        asked_for.append(endpoint)
        if len(asked_for) < 3:
            raise error
        return await whole(endpoint)

    async with OpenAIServer(GOOD) as server:
        asked = judge(server.url)
        await judged(asked, 1)
        monkeypatch.setattr(Endpoint, probe, odd)
        server.script[:] = [status(500, "dying"), GOOD]
        assert (await judged(asked, 1)).judgements == 1
        await asked.close()
    assert len(asked_for) == 3


async def test_after_hours_of_failures_an_endpoint_is_still_asked_again():
    async with OpenAIServer(GOOD) as server:
        asked = judge(server.url)
        await judged(asked, 1)
        (endpoint,) = asked._chat._pool.endpoints
        for failures in (700, 10_000):
            endpoint.failures = failures
            asked._chat._pool._start_cooldown(endpoint)
            assert (await judged(asked, 2)).judgements == 2
        await asked.close()


@pytest.mark.parametrize("answer", [status(400, "too long"), status(401, "no key"), status(404, "no model")])
async def test_an_endpoint_that_refuses_the_one_request_it_gets_is_tried_again(answer):
    async with OpenAIServer(GOOD) as server:
        asked = judge(server.url)
        await judged(asked, 1)
        server.script[:] = [status(500, "dying"), answer, GOOD]
        with pytest.raises(JudgeUnavailable):
            await judged(asked, 1)
        assert (await judged(asked, 3)).judgements == 3
        await asked.close()


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError("x"), RecursionError()], ids=repr)
async def test_an_error_of_our_own_while_an_endpoint_is_tried_does_not_keep_it_out(monkeypatch, error):
    async with OpenAIServer(GOOD) as server:
        asked = judge(server.url)
        await judged(asked, 1)
        whole, raised = asked._chat._completion, []

        async def odd(endpoint: Endpoint, request: dict) -> object:
            if endpoint.half_open and not raised:
                raised.append(error)
                raise error
            return await whole(endpoint, request)

        monkeypatch.setattr(asked._chat, "_completion", odd)
        server.script[:] = [status(500, "dying"), GOOD]
        with pytest.raises(type(error)):
            await judged(asked, 1)
        assert (await judged(asked, 3)).judgements == 3
        await asked.close()


async def test_a_sample_that_is_given_up_with_its_place_in_hand_does_not_keep_the_endpoint_out():
    async with OpenAIServer(GOOD) as server:
        asked = judge(server.url)
        await judged(asked, 1)
        (endpoint,) = asked._chat._pool.endpoints
        endpoint.failures, endpoint.ready = 1, False
        waiting = asyncio.ensure_future(asked._chat._pool.acquire(time.monotonic()))
        await asyncio.sleep(0)
        endpoint.ready = True
        asked._chat._pool._hand_out()
        assert endpoint.half_open
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await judged(asked, 2)).judgements == 2
        await asked.close()


async def test_requests_at_an_endpoint_that_stalls_go_elsewhere():
    async with OpenAIServer(GOOD) as stalled, OpenAIServer(slowly(GOOD, 0.02)) as steady:
        asked = judge(stalled.url, steady.url, max_in_flight=8)
        await judged(asked, 60)
        stalled.script[:] = [held(GOOD)]
        begun = time.monotonic()
        stats = await judged(asked, 60)
        took = time.monotonic() - begun
        await asked.close()
    assert stats.judgements == 60 and stats.counts["failed_stalled"] >= 1
    assert took < 30


async def test_a_single_endpoint_that_is_slow_is_waited_for():
    async with OpenAIServer(GOOD) as server:
        asked = judge(server.url)
        await judged(asked, 40)
        server.script[:] = [slowly(GOOD, 1.5)]
        stats = await judged(asked, 4)
        await asked.close()
    assert not stats.counts["failed_stalled"] and stats.counts["calls"] == 4


async def test_samples_wait_for_servers_that_restart():
    port = free_port()
    async with OpenAIServer(GOOD, port=port) as server:
        asked = judge(server.url)
        await judged(asked, 2)
    waiting = asyncio.create_task(judged(asked, 8))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    async with OpenAIServer(GOOD, port=port):
        assert (await waiting).judgements == 8
    await asked.close()


async def test_many_places_at_once_are_handed_out_over_several_turns_of_the_event_loop():
    async with OpenAIServer(GOOD) as server:
        asked = judge(server.url, max_in_flight=100)
        await asked.open()
        places = [asyncio.create_task(asked._chat._pool.acquire(time.monotonic())) for _ in range(50)]
        had = [0]
        while had[-1] < len(places):
            await asyncio.sleep(0)
            had.append(sum(place.done() for place in places))
        await asked.close()
    assert max(more - fewer for fewer, more in itertools.pairwise(had)) == endpoint_pool.BURST


async def test_a_judge_that_is_closed_lets_nobody_wait():
    async with OpenAIServer(held(GOOD)) as server:
        asked = judge(server.url, max_in_flight=1)
        waiting = [asyncio.create_task(asked.judge(WHITE, GRAY, TABLE)) for _ in range(3)]
        await until(lambda: server.in_flight == 1)
        await asked.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert sum(isinstance(outcome, JudgeUnavailable) for outcome in outcomes) >= 2


# A second request


async def test_a_second_endpoint_is_asked_when_the_first_takes_long():
    async with OpenAIServer(slowly(GOOD, 0.01)) as first, OpenAIServer(slowly(GOOD, 0.01)) as second:
        asked = judge(first.url, second.url, hedge=True)
        await judged(asked, 60)
        first.script[:] = [held(GOOD)]
        stats = await judged(asked, 2)
        assert stats.answers == {second.url: 2}
        assert stats.counts["hedges"] >= 1
        await until(lambda: first.in_flight == 0)
        await asked.close()


async def test_a_second_request_that_fails_does_not_spoil_the_first():
    async with OpenAIServer(slowly(GOOD, 0.01)) as first, OpenAIServer(slowly(GOOD, 0.01)) as second:
        asked = judge(first.url, second.url, hedge=True)
        await judged(asked, 60)
        first.script[:] = second.script[:] = [slowly(status(500, "no"), 0.3), slowly(GOOD, 0.6)]
        stats = await judged(asked, 2)
        await asked.close()
    assert stats.judgements == 2


async def test_without_hedging_each_sample_is_sent_once(monkeypatch):
    monkeypatch.setattr(endpoint_pool, "STALL_S", 60)
    async with OpenAIServer(slowly(GOOD, 0.01)) as first, OpenAIServer(slowly(GOOD, 0.3)) as second:
        asked = judge(first.url, second.url)
        stats = await judged(asked, 60)
        await asked.close()
    assert stats.counts["calls"] == 60 == len(first.bodies) + len(second.bodies)


# Who is there


async def test_endpoints_join_and_leave_through_the_file(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    file = tmp_path / "endpoints.txt"
    async with OpenAIServer(slowly(GOOD, 0.05)) as first, OpenAIServer(slowly(GOOD, 0.05)) as second:
        file.write_text(f"# the judges\n{first.url}\n")
        asked = judge(endpoints_file=str(file), max_in_flight=2)
        under_way = asyncio.create_task(judged(asked, 100))
        await until(lambda: len(first.bodies) > 4)
        (tmp_path / "new").write_text(f"{first.url}  # as before\n\n{second.url}\n")
        (tmp_path / "new").rename(file)
        await until(lambda: len(second.bodies) > 4)
        (tmp_path / "new").write_text(f"{second.url}\n")
        (tmp_path / "new").rename(file)
        await until(lambda: f"{first.url} leaves" in caplog.text and not first.in_flight)
        left_with = len(first.bodies)
        stats = await under_way
        await asked.close()
        assert len(first.bodies) == left_with
    assert stats.judgements == 100 and not stats.counts["retries"]


async def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path):
    async with OpenAIServer(GOOD) as server:
        asked = judge(endpoints_file=str(tmp_path / "endpoints.txt"))
        waiting = asyncio.create_task(judged(asked, 2))
        await asyncio.sleep(0.3)
        (tmp_path / "endpoints.txt").write_text(server.url)
        assert (await waiting).judgements == 2
        await asked.close()


async def test_machines_that_serve_join_and_leave_by_files_of_their_own_in_one_folder(tmp_path, caplog):
    caplog.set_level("INFO", "visual_erm.judge")
    async with OpenAIServer(GOOD) as first, OpenAIServer(GOOD) as second:
        (tmp_path / "n1.txt").write_text(f"{first.url}\n")
        asked = judge(endpoints_file=str(tmp_path))
        await judged(asked, 1)
        (tmp_path / "n2.txt").write_text(f"{second.url}\n")
        await until(lambda: f"{second.url} joins" in caplog.text)
        (tmp_path / "n1.txt").write_text("")
        await until(lambda: f"{first.url} leaves" in caplog.text)
        assert (await judged(asked, 2)).judgements == 2
        await asked.close()
    assert (len(first.bodies), len(second.bodies)) == (1, 2)


async def test_a_file_that_breaks_during_a_run_changes_nothing(tmp_path, caplog):
    file = tmp_path / "endpoints.txt"
    async with OpenAIServer(GOOD) as server:
        file.write_text(server.url)
        asked = judge(endpoints_file=str(file))
        await judged(asked, 1)
        file.write_text("10.0.0.1:8000")
        await until(lambda: "is no URL" in caplog.text)
        assert (await judged(asked, 2)).judgements == 2
        await asked.close()


@pytest.mark.parametrize(
    ("what", "mode"), [("folder", 0o777), ("folder", 0o775), ("file", 0o666), ("file", 0o664), ("only file", 0o620)]
)
async def test_a_file_or_folder_that_others_can_write_is_refused(tmp_path, caplog, what, mode):
    folder = tmp_path / "endpoints"
    folder.mkdir(0o755)
    async with OpenAIServer(GOOD) as server, OpenAIServer(GOOD) as other:
        file = folder / "n1.txt"
        file.write_text(server.url)
        file.chmod(0o644)
        named = file if what == "only file" else folder
        asked = judge(endpoints_file=str(named))
        await judged(asked, 1)
        wrong = folder if what == "folder" else file
        file.write_text(f"{server.url}\n{other.url}\n")
        wrong.chmod(mode)
        await until(lambda: f"others than its owner can write {wrong}" in caplog.text)
        # A run goes on with what it knows. A new one does not start.
        await judged(asked, 1)
        assert not other.bodies
        with pytest.raises(ConfigError, match=f"run `chmod go-w {wrong}`"):
            read_endpoints(named)
        wrong.chmod(0o755)
        await until(lambda: len(asked._chat._pool.endpoints) == 2)
        assert read_endpoints(named) == (server.url, other.url)
        await asked.close()


@pytest.mark.parametrize(
    "what", ["lines of the file come one by one", "it may not be read for a while", "reading raises", "looking raises"]
)
async def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path, monkeypatch, caplog, what):
    caplog.set_level(logging.INFO)
    file = tmp_path / "endpoints.txt"
    async with OpenAIServer(GOOD) as first, OpenAIServer(GOOD) as second:
        file.write_text(f"{first.url}\n")
        asked = judge(endpoints_file=str(file))
        await judged(asked, 1)
        whole, failures = endpoint_pool.read_endpoints, []
        if what.startswith("lines"):
            half = f"{first.url}\n{second.url}"[:-12]
            # The second half is written after the file was looked at, and before it is read.

            def read_late(path, *role):
                found = whole(path)
                if not failures:
                    failures.append(path)
                    file.write_text(f"{first.url}\n{second.url}\n")
                return found

            monkeypatch.setattr(endpoint_pool, "read_endpoints", read_late)
            file.write_text(half)
        else:
            error = {"it may": ConfigError("busy"), "readin": RuntimeError("odd"), "lookin": RuntimeError("odd")}[what[:6]]
            name = "_stamp" if what.startswith("looking") else "read_endpoints"
            function = getattr(endpoint_pool, name)

            def odd(path, *role):
                if len(failures) < 2:
                    failures.append(path)
                    file.write_text(f"{first.url}\n{second.url}\n" + "\n" * len(failures))
                    raise error
                return function(path)

            monkeypatch.setattr(endpoint_pool, name, odd)
            file.write_text(f"{first.url}\n{second.url}\n")
        await until(lambda: f"{second.url} joins" in caplog.text)
        assert failures
        await judged(asked, 2)
        await asked.close()


async def test_permissions_that_come_back_are_noticed(tmp_path, monkeypatch, caplog):
    file = tmp_path / "endpoints.txt"
    file.write_text("http://a:1/v1\n")
    before = endpoint_pool._stamp(file)
    file.chmod(0o600)
    assert endpoint_pool._stamp(file) != before
    assert endpoint_pool._stamp(tmp_path / "gone") is None


async def test_another_model_is_a_setting_to_correct_before_anything_is_judged():
    async with OpenAIServer(GOOD, routes=serving("qwen", "other")) as server:
        asked = judge(server.url, model="visual-erm")
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"serves qwen, other, not `visual-erm`; set judge\.model"):
                await asked.judge(WHITE, GRAY, TABLE)
        await asked.close()
    assert not server.bodies


async def test_the_model_that_verl_serves_is_taken_from_its_router():
    async with OpenAIServer(GOOD, routes=serving("/models/erm")) as server:
        asked = RemoteJudge(JudgeSettings(kind="colocated", endpoints=(server.url,)))
        await asked.judge(WHITE, GRAY, TABLE)
        await asked.close()
    assert server.bodies[0]["model"] == "/models/erm"


async def test_a_router_that_is_not_there_in_time_is_looked_for_again_by_the_next_sample():
    port = free_port()
    asked = RemoteJudge(
        JudgeSettings(kind="colocated", endpoints=(f"http://127.0.0.1:{port}/v1",), unavailable_timeout_s=0.3)
    )
    with pytest.raises(JudgeUnavailable, match="nothing is served"):
        await asked.judge(WHITE, GRAY, TABLE)
    async with OpenAIServer(GOOD, routes=serving("/models/erm"), port=port):
        assert (await judged(asked, 2)).judgements == 2
        await asked.close()


# Which checkpoint


async def test_endpoints_with_different_checkpoints_under_one_name_are_named_once(caplog):
    first, second = (OpenAIServer(GOOD, routes=serving("visual-erm", root=root)) for root in ("/models/a", "/models/b"))
    async with first, second:
        asked = judge(first.url, second.url)
        for _ in range(3):
            assert await asked.model_root() == "/models/a|/models/b"
        await asked.close()
    assert caplog.text.count("different checkpoints as visual-erm: /models/a, /models/b") == 1


async def test_a_server_that_comes_back_is_asked_again_for_its_checkpoint():
    port = free_port()
    async with OpenAIServer(GOOD, port=port, routes=serving("visual-erm", root="/models/a")) as server:
        asked = judge(server.url)
        assert await asked.model_root() == "/models/a"
        await judged(asked, 1)
    waiting = asyncio.create_task(judged(asked, 2))
    await asyncio.sleep(0.3)
    async with OpenAIServer(GOOD, port=port, routes=serving("visual-erm", root="/models/b")):
        assert (await waiting).judgements == 2
        assert await asked.model_root() == "/models/b"
    await asked.close()


async def test_a_server_that_joins_is_asked_for_its_checkpoint_before_it_is_asked_for_reports(tmp_path):
    file = tmp_path / "endpoints.txt"
    first, second = (OpenAIServer(GOOD, routes=serving("visual-erm", root=root)) for root in ("/models/a", "/models/b"))
    async with first, second:
        file.write_text(first.url)
        asked = judge(endpoints_file=str(file))
        assert await asked.model_root() == "/models/a"
        file.write_text(f"{first.url}\n{second.url}\n")
        while not second.bodies:
            await judged(asked, 4)
        assert await asked.model_root() == "/models/a|/models/b"
        await asked.close()


async def test_of_servers_that_are_not_there_the_checkpoint_is_not_known():
    asked = judge(f"http://127.0.0.1:{free_port()}/v1")
    assert await asked.model_root() is None
    await asked.close()


# What must not happen


async def test_a_server_whose_certificate_nobody_vouches_for_is_not_believed(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"),
        ],
        check=True,
        capture_output=True,
    )
    trusted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trusted.load_cert_chain(certificate, key)
    async with OpenAIServer(GOOD, tls=trusted) as server:
        asked = judge(server.url.replace("http:", "https:"), unavailable_timeout_s=0.3)
        with pytest.raises(JudgeUnavailable, match=r"cannot be reached.*(SSL|Certificate)"):
            await asked.judge(WHITE, GRAY, TABLE)
        await asked.close()
    assert not server.bodies
