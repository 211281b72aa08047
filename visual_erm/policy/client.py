"""PolicyClient: asks a policy behind OpenAI-compatible servers for replies.

    async with PolicyClient(load_policy_settings("http://10.0.0.1:8000/v1")) as policy:
        reply = await policy.write([message("user", "<image>Write the HTML of this table.", [await policy.show(image)])])
    reply.text, reply.truncated

A message is one of OpenAI's: `role`, and `content` as text or as a list of parts. Servers are asked as a judge's are (see
`visual_erm.judge.chat`): the least busy first, with retries at another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from visual_erm.errors import ConfigError, JudgeUnavailable, JudgeUnreadable, PolicyUnavailable
from visual_erm.judge.chat import Chat, sampling_fields
from visual_erm.judge.encode import data_url
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.policy import PolicySettings
from visual_erm.spec.task import ImageSettings

IMAGE = "<image>"
"""Where an image belongs in the text of a prompt, as in veRL's data."""
Message = dict[str, Any]
"""A message of a chat, as OpenAI's protocol has it."""


@dataclass(frozen=True)
class Reply:
    """What the policy wrote."""

    text: str
    truncated: bool
    """The reply reached `max_tokens` and was cut off."""
    prompt_tokens: int
    """Tokens of the prompt, as the server counts them; 0 where it does not say."""
    reply_tokens: int


class PolicyClient:
    """Asks the least busy endpoint, with at most `settings.max_in_flight` requests at each.

    Bound to the event loop of its first request.

    Args:
        settings: Where the policy is served, and how it writes.

    Raises:
        ConfigError: An endpoint is no URL, or the key cannot be read or sent.
    """

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings
        self._chat = Chat(settings)

    async def __aenter__(self) -> PolicyClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> str:
        """Finds the servers; the first request does it by itself.

        Returns:
            The name of the model that they serve.

        Raises:
            ConfigError: A server serves other models.
            PolicyUnavailable: No server answers.
        """
        try:
            return await self._chat.open()
        except JudgeUnavailable as error:
            raise PolicyUnavailable(str(error)) from error

    async def write(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Asks for one reply.

        Args:
            messages: The conversation so far.
            seed: Tells several replies to the same prompt apart, for servers that take a seed. None: the server's own.

        Returns:
            The reply.

        Raises:
            PolicyUnavailable: No server answered within the retries and the time allowed, or this object is closed.
            ConfigError: A server serves other models.
        """
        body: dict[str, Any] = {"messages": list(messages), **sampling_fields(self.settings.sampling, self.settings)}
        if seed is not None:
            body["seed"] = seed
        usage = JudgeUsage()
        try:
            text, truncated = await self._chat.ask(body, lambda text, is_cut: (text, is_cut), usage)
        except (JudgeUnavailable, JudgeUnreadable) as error:
            raise PolicyUnavailable(str(error)) from error
        return Reply(text, truncated, usage.prompt_tokens, usage.reply_tokens)

    async def show(self, image: Image.Image) -> str:
        """Encodes an image for a message, in a thread.

        Args:
            image: The image, in any mode.

        Returns:
            A data URL of a PNG whose longest side is at most `settings.longest_side`.
        """
        form = ImageSettings(longest_side=self.settings.longest_side, format="png")
        return await asyncio.to_thread(data_url, image, form)

    async def close(self) -> None:
        """Ends every connection. Requests under way get PolicyUnavailable. May be called twice."""
        await self._chat.close()


def message(role: str, text: str, images: Sequence[str] = ()) -> Message:
    """Makes a message with images.

    Args:
        role: `user`, `assistant` or `system`.
        text: The text. Each `<image>` in it is the place of one image, in their order.
        images: Data URLs of the images, see `PolicyClient.show`.

    Returns:
        The message. Its content is a text where there is no image, else a list of parts.

    Raises:
        ConfigError: There are more or fewer images than places.
    """
    parts = text.split(IMAGE)
    if len(parts) - 1 != len(images):
        raise ConfigError(
            f"the prompt holds {IMAGE} {len(parts) - 1} times, for {len(images)} images; write it once for each"
        )
    if not images:
        return {"role": role, "content": text}
    content: list[dict[str, Any]] = []
    for part, url in zip(parts, [*images, None], strict=True):
        if part:
            content.append({"type": "text", "text": part})
        if url is not None:
            content.append({"type": "image_url", "image_url": {"url": url}})
    return {"role": role, "content": content}


def messages_of(prompt: Sequence[Mapping[str, str]], images: Sequence[str]) -> list[Message]:
    """Makes the conversation of a row of veRL's data.

    Args:
        prompt: The row's `prompt`: messages with `role` and `content`, which holds `<image>` for each image.
        images: Data URLs of the row's images, in their order over all messages.

    Returns:
        The messages.

    Raises:
        ConfigError: There are more or fewer images than places.
    """
    waiting = list(images)
    messages = []
    for number, one in enumerate(prompt, 1):
        places = str(one["content"]).count(IMAGE)
        taken = waiting if number == len(prompt) else waiting[:places]
        messages.append(message(str(one["role"]), str(one["content"]), taken))
        waiting = waiting[len(taken) :]
    return messages
