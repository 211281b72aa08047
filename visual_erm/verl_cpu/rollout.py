"""Rollouts from Hugging Face `generate`, behind veRL's interface for inference servers.

It takes the place of vLLM for small models on a CPU. `HFServer` is the server: a Ray actor with a copy of the policy, which
collects requests into batches. `HFReplica` starts the server from veRL's trainer. `HFAdapter` runs in the training worker
and sends the new weights after each step.

Internals of veRL that this module uses:

- `verl.workers.rollout.base.BaseRollout`, and the methods `resume`, `release` and `update_weights` that it must have.
- `verl.workers.rollout.replica`: `RolloutReplica` with `launch_servers`, `config`, `model_config`, `replica_rank`,
  `max_concurrency`, `servers`, `_server_handle` and `_server_address`; the fields of `TokenOutput`.
- The methods of a server handle that veRL calls: `generate`, `wake_up`, `sleep`, `abort_all_requests`,
  `resume_generation`, `clear_kv_cache`, `release_kv_cache`, `resume_kv_cache`, `start_profile`, `stop_profile`.
- The environment variable `RANK` of a training worker.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray
import torch
import transformers
from PIL import Image
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

log = logging.getLogger(__name__)

GATHER_S = 0.2
"""Time in seconds without a new request after which a batch is closed."""

SUPPRESSED = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
"""Tokens that a policy must not write: the model would look for an image in its reply, and positions would be wrong."""


@dataclass(frozen=True, eq=False)
class Request:
    """A request that waits for its reply."""

    prompt: list[int]
    images: list[Image.Image]
    sampling: dict[str, Any]
    image_settings: dict[str, Any]
    reply: asyncio.Future[TokenOutput]

    def key(self) -> tuple[list[int], str]:
        """Returns a sort key. Sorted requests use the same random numbers in every run, in whatever order they arrive."""
        pixels = hashlib.blake2b(digest_size=8)
        for image in self.images:
            pixels.update(image.tobytes())
        return self.prompt, pixels.hexdigest()


class HFServer:
    """A policy with a queue of requests.

    Args:
        model_path: Folder of the model and its processor.
        seed: Seed of the sampling.
        threads: Number of torch threads.
        batch: Largest number of requests that are generated together.
        response_length: Largest number of tokens of a reply.
    """

    def __init__(self, model_path: str, seed: int, threads: int, batch: int, response_length: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(
            model_path, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        self.processor = transformers.AutoProcessor.from_pretrained(model_path)
        self.suppressed = [getattr(self.model.config, name) for name in SUPPRESSED]
        stop = self.model.generation_config.eos_token_id
        self.stop = set(stop if isinstance(stop, list) else [stop])
        self.batch = batch
        self.response_length = response_length
        self.step = 0
        self.queue: list[Request] = []
        self.worker: asyncio.Task[None] | None = None

    async def generate(
        self,
        request_id: str,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        image_data: list[Image.Image] | None = None,
        video_data: None = None,
        mm_processor_kwargs: dict[str, Any] | None = None,
    ) -> TokenOutput:
        """Generates one reply, in a batch with other requests of the same sampling.

        Args:
            request_id: veRL's name of the request; not used.
            prompt_ids: Tokens of the prompt.
            sampling_params: `temperature`, `top_p`, `top_k`, `repetition_penalty` and `max_tokens`, each with a default.
            image_data: Images of the prompt, in the order of their placeholders.
            video_data: Not supported.
            mm_processor_kwargs: veRL's `data.mm_processor_kwargs`, with which its update prepares the images too.

        Returns:
            Tokens of the reply and their log probabilities.

        Raises:
            Exception: Whatever the generation of the batch raised.
        """
        reply: asyncio.Future[TokenOutput] = asyncio.get_running_loop().create_future()
        settings = dict(mm_processor_kwargs or {})
        settings |= settings.pop("images_kwargs", {})
        self.queue.append(Request(list(prompt_ids), list(image_data or []), dict(sampling_params), settings, reply))
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self._work())
        return await reply

    async def _work(self) -> None:
        while self.queue:
            seen = 0
            while seen < len(self.queue) < self.batch:
                seen = len(self.queue)
                await asyncio.sleep(GATHER_S)
            first = self.queue[0]
            alike = [
                request
                for request in self.queue
                if (request.sampling, request.image_settings) == (first.sampling, first.image_settings)
            ]
            requests = sorted(alike[: self.batch], key=Request.key)
            self.queue = [request for request in self.queue if request not in requests]
            try:
                outputs = await asyncio.to_thread(self._generate, requests)
            except Exception as error:  # noqa: BLE001 - each waiting request must fail with it
                for request in requests:
                    request.reply.set_exception(error)
            else:
                for request, output in zip(requests, outputs, strict=True):
                    request.reply.set_result(output)

    @torch.inference_mode()
    def _generate(self, requests: list[Request]) -> list[TokenOutput]:
        inputs = self._inputs(requests)
        sampling = requests[0].sampling
        temperature = sampling.get("temperature", 1.0)
        generated = self.model.generate(
            **inputs,
            max_new_tokens=sampling.get("max_tokens") or self.response_length,
            do_sample=temperature > 0,
            temperature=temperature or 1.0,
            top_p=sampling.get("top_p", 1.0),
            top_k=max(sampling.get("top_k", 0), 0),
            repetition_penalty=sampling.get("repetition_penalty", 1.0),
            suppress_tokens=self.suppressed,
            return_dict_in_generate=True,
            output_logits=True,
        )
        replies = generated.sequences[:, inputs["input_ids"].shape[1] :]
        logits = torch.stack(generated.logits, dim=1).float() / (temperature or 1.0)
        chosen = logits.log_softmax(-1).gather(-1, replies[..., None])[..., 0]
        return [self._output(tokens, scores) for tokens, scores in zip(replies.tolist(), chosen.tolist(), strict=True)]

    def _inputs(self, requests: list[Request]) -> dict[str, torch.Tensor]:
        """Pads prompts on the left, and puts the images of all of them one after another."""
        width = max(len(request.prompt) for request in requests)
        pad = self.processor.tokenizer.pad_token_id
        tokens = torch.tensor([[pad] * (width - len(r.prompt)) + r.prompt for r in requests])
        mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in requests])
        inputs = {
            "input_ids": tokens,
            "attention_mask": mask,
            "mm_token_type_ids": (tokens == self.model.config.image_token_id).long(),
        }
        images = [image for request in requests for image in request.images]
        if images:
            features = self.processor.image_processor(images=images, return_tensors="pt", **requests[0].image_settings)
            inputs |= {name: features[name] for name in ("pixel_values", "image_grid_thw")}
        return inputs

    def _output(self, tokens: list[int], scores: list[float]) -> TokenOutput:
        end = next((i + 1 for i, token in enumerate(tokens) if token in self.stop), len(tokens))
        return TokenOutput(
            token_ids=tokens[:end],
            log_probs=scores[:end],
            stop_reason="completed",
            num_preempted=0,
            extra_fields={"global_steps": self.step},
        )

    async def load_weights(self, weights: dict[str, torch.Tensor], step: int) -> None:
        """Replaces the policy's weights.

        Args:
            weights: All weights of the model by name; tied ones may be missing.
            step: The training step after which they were taken. Later replies carry it as `global_steps`.

        Raises:
            ValueError: The names are not those of this model.
        """
        own = self.model.state_dict()
        tied = {"lm_head.weight"} if self.model.config.tie_word_embeddings else set()
        if set(weights) | tied != set(own) | tied:
            different = sorted(set(weights) ^ set(own))
            raise ValueError(f"weights of another model: {len(different)} names differ, the first: {different[0]}")
        self.model.load_state_dict(weights, strict=False)
        self.step = step

    async def _no_op(self, *_: Any, **__: Any) -> None:
        """Stands for what an inference server does with its GPU memory between steps."""

    wake_up = sleep = abort_all_requests = resume_generation = clear_kv_cache = _no_op
    release_kv_cache = resume_kv_cache = start_profile = stop_profile = _no_op


class HFReplica(RolloutReplica):
    """Starts the server of one replica."""

    async def launch_servers(self) -> None:
        """Starts one server as a Ray actor, which loads the model."""
        settings = self.config.engine_kwargs[self.config.name]
        actor: Any = ray.remote(num_cpus=0)(HFServer).options(
            name=server_name(self.replica_rank), max_concurrency=self.max_concurrency
        )
        self._server_handle = actor.remote(
            self.model_config.path,
            seed=self.config.seed + self.replica_rank,
            threads=settings["threads"],
            batch=self.config.max_num_seqs,
            response_length=self.config.response_length,
        )
        self.servers = [self._server_handle]
        self._server_address = server_name(self.replica_rank)


class HFAdapter(BaseRollout):
    """The training worker's side of a replica; each worker has one replica."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.server = server_name(int(os.environ["RANK"]))
        self.sleep_level = 1

    async def resume(self, tags: list[str]) -> None:
        """Does nothing: the server keeps its memory."""

    async def release(self) -> None:
        """Does nothing: the server keeps its memory."""

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        **_: Any,
    ) -> None:
        """Sends a copy of the whole model to the server, which suits small models only.

        Args:
            weights: All weights with their names.
            wire_format: veRL's name of the form of `weights`; not used.
            global_steps: The training step after which they were taken.
        """
        copies = {name: tensor.detach().to("cpu", torch.float32).clone() for name, tensor in weights}
        await ray.get_actor(self.server).load_weights.remote(copies, global_steps or 0)


def server_name(rank: int) -> str:
    """Names the Ray actor of a server.

    Args:
        rank: Number of the replica, from 0, which is also the rank of its training worker.

    Returns:
        The name by which `ray.get_actor` finds it.
    """
    return f"hf_cpu_server_{rank}"
