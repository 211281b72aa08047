"""A policy behind servers: what it is asked, what comes back, and what is told when it does not answer."""

from __future__ import annotations

import pytest
from openai_server import OpenAIServer, completion, images, serving, status
from PIL import Image
from remote_judge import dead_url

from visual_erm.errors import ConfigError, PolicyUnavailable
from visual_erm.policy.client import PolicyClient, Reply, message, messages_of
from visual_erm.spec.policy import PolicySettings, load_policy_settings

PROMPT = "<image>\nWrite the HTML of this table."


def settings(*endpoints: str, **changes) -> PolicySettings:
    return PolicySettings(endpoints=endpoints, **{"model": "mine", "timeout_s": 60, "unavailable_timeout_s": 2, **changes})


async def test_the_policy_sees_the_prompt_and_the_image_in_their_order():
    async with (
        OpenAIServer(completion("<table></table>"), routes=serving("served")) as server,
        PolicyClient(settings(server.url, model=None)) as policy,
    ):
        shown = await policy.show(Image.new("RGB", (2560, 100), "red"))
        reply = await policy.write([message("user", PROMPT, [shown])], seed=3)
        assert await policy.open() == "served"
    (body,) = server.bodies
    (user,) = body["messages"]
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][1]["text"] == "\nWrite the HTML of this table."
    (image,) = images(body)
    assert image.size == (1280, 50)
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0, 8192, 3)
    assert isinstance(reply, Reply)
    assert (reply.text, reply.truncated) == ("<table></table>", False)
    assert (reply.prompt_tokens, reply.reply_tokens) == (0, 0)  # This server does not count them.


async def test_a_reply_that_is_cut_off_says_so():
    answer = completion("<table>", finish="length")
    async with OpenAIServer(answer) as server, PolicyClient(settings(server.url)) as policy:
        assert (await policy.write([message("user", "Go on.")])).truncated


async def test_only_fields_that_the_servers_take_are_sent():
    sampling = {"temperature": 1.0, "max_tokens": 100, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.05}
    async with OpenAIServer(completion("a"), completion("b")) as server:
        for vllm_fields in (True, False):
            async with PolicyClient(settings(server.url, sampling=sampling, vllm_fields=vllm_fields)) as policy:
                await policy.write([message("user", "Go on.")])
    assert [("top_k" in body, "repetition_penalty" in body, "top_p" in body) for body in server.bodies] == [
        (True, True, True),
        (False, False, True),
    ]


@pytest.mark.parametrize("answer", [status(400), completion(None)])
async def test_a_policy_that_does_not_answer_is_no_judge_that_does_not(answer):
    async with OpenAIServer(answer, answer) as server, PolicyClient(settings(server.url)) as policy:
        with pytest.raises(PolicyUnavailable) as raised:
            await policy.write([message("user", "Go on.")])
    assert "judge" not in str(raised.value)


async def test_a_dead_server_is_named():
    url = dead_url()
    async with PolicyClient(settings(url, model=None, unavailable_timeout_s=0.1)) as policy:
        with pytest.raises(PolicyUnavailable, match=f"nothing is served at {url}.* set `policy.model`"):
            await policy.open()
        with pytest.raises(PolicyUnavailable):
            await policy.write([message("user", "Go on.")])


@pytest.mark.parametrize(("text", "urls"), [("no place", ["a"]), (PROMPT, []), (PROMPT + "<image>", ["a"])])
def test_every_image_has_one_place(text, urls):
    with pytest.raises(ConfigError, match=f"holds <image> {text.count('<image>')} times, for {len(urls)} images"):
        message("user", text, urls)


def test_images_of_a_row_are_spread_over_its_messages():
    prompt = [{"role": "system", "content": "Be exact."}, {"role": "user", "content": "<image>a<image>"}]
    system, user = messages_of(prompt, ["x", "y"])
    assert system == {"role": "system", "content": "Be exact."}
    assert [part["type"] for part in user["content"]] == ["image_url", "text", "image_url"]
    with pytest.raises(ConfigError, match="for 1 images"):
        messages_of(prompt, ["x"])
    with pytest.raises(ConfigError, match="for 3 images"):
        messages_of(prompt, ["x", "y", "z"])


def test_settings_of_a_policy_are_a_url_or_a_file(tmp_path):
    assert load_policy_settings("http://10.0.0.1:8000/v1").endpoints == ("http://10.0.0.1:8000/v1",)
    file = tmp_path / "policy.yaml"
    file.write_text("endpoints: [http://10.0.0.1:8000/v1]\nmodel: mine\nsampling: {temperature: 1.0, max_tokens: 64}\n")
    assert load_policy_settings(file).sampling.max_tokens == 64
    for wrong, told in (("mine", "give the URL"), ({"model": "x"}, "needs `endpoints`"), ({"kind": "remote"}, "kind")):
        with pytest.raises(ConfigError, match=told):
            load_policy_settings(wrong)


async def test_the_key_is_the_policys_own(monkeypatch):
    monkeypatch.setenv("VISUAL_ERM_API_KEY", "of-the-judge")
    monkeypatch.setenv("VISUAL_ERM_POLICY_API_KEY", "of-the-policy")
    async with OpenAIServer(completion("a")) as server, PolicyClient(settings(server.url)) as policy:
        await policy.write([message("user", "Go on.")])
    assert server.headers[0]["Authorization"] == "Bearer of-the-policy"
