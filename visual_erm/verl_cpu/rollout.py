"""Rollouts from Hugging Face `generate`, behind veRL's interface for inference servers.

`HFServer` is the server: a Ray actor with a copy of the policy, which gathers the requests of a step into one batch.
`HFReplica` starts it, in veRL's trainer. `HFAdapter` lives in the training worker and pushes the new weights after each
step. What vLLM is on a GPU; here simplicity counts, and small models.
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
"""A batch is closed when nothing new has arrived for this long, in seconds."""

SUPPRESSED = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
"""A policy that writes one of these would be read as if its reply held a image, and its positions break."""


@dataclass(frozen=True, eq=False)
class Request:
    """One reply that somebody waits for."""

    prompt: list[int]
    images: list[Image.Image]
    sampling: dict[str, Any]
    reply: asyncio.Future[TokenOutput]

    def key(self) -> tuple[list[int], str]:
        """Requests in this order draw the same random numbers in every run, whatever order they arrive in."""
        pixels = hashlib.blake2b(digest_size=8)
        for image in self.images:
            pixels.update(image.tobytes())
        return self.prompt, pixels.hexdigest()


class HFServer:
    """A policy and a queue in front of it.

    Args:
        model_path: folder of the model and its processor.
        seed: of the sampling.
        threads: torch threads while generating.
        batch: requests generated at once, at most.
        response_length: tokens of a reply, at most.
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
    ) -> TokenOutput:
        """One reply. Waits for the batch it is in; an error of the batch is an error of each of its requests."""
        reply: asyncio.Future[TokenOutput] = asyncio.get_running_loop().create_future()
        self.queue.append(Request(list(prompt_ids), list(image_data or []), dict(sampling_params), reply))
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
            alike = [request for request in self.queue if request.sampling == first.sampling]
            requests = sorted(alike[: self.batch], key=Request.key)
            self.queue = [request for request in self.queue if request not in requests]
            try:
                outputs = await asyncio.to_thread(self._generate, requests)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
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
        """Prompts padded on the left, with the images of all of them one after another."""
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
            features = self.processor.image_processor(images=images, return_tensors="pt")
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
        """Takes the policy of `step`. Raises ValueError when the weights are not those of this model."""
        own = self.model.state_dict()
        tied = {"lm_head.weight"} if self.model.config.tie_word_embeddings else set()
        if set(weights) | tied != set(own) | tied:
            different = sorted(set(weights) ^ set(own))
            raise ValueError(f"weights of another model: {len(different)} names differ, the first: {different[0]}")
        self.model.load_state_dict(weights, strict=False)
        self.step = step

    async def _nothing(self, *_: Any, **__: Any) -> None:
        """What an inference server does with its GPU memory between steps."""

    wake_up = sleep = abort_all_requests = resume_generation = clear_kv_cache = _nothing
    release_kv_cache = resume_kv_cache = start_profile = stop_profile = _nothing


class HFReplica(RolloutReplica):
    """Starts the server of one replica."""

    async def launch_servers(self) -> None:
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
    """The training worker's end of the replica: one worker, one replica."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.server = server_name(int(os.environ["RANK"]))
        self.sleep_level = 1

    async def resume(self, tags: list[str]) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        **_: Any,
    ) -> None:
        """Sends a copy of the whole model; small models only."""
        copies = {name: tensor.detach().to("cpu", torch.float32).clone() for name, tensor in weights}
        await ray.get_actor(self.server).load_weights.remote(copies, global_steps or 0)


def server_name(rank: int) -> str:
    return f"hf_cpu_server_{rank}"
