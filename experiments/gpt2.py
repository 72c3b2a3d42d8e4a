"""GPT-2 in its four published sizes, 124,439,808 parameters and up: describe, train, fine-tune and generate.

Data    --dataset=FILE.txt (or a TFDS name, CSV, …) with --tokenizer=tokenizer.json, the file published beside the
        weights; without them synthetic tokens, to measure speed
Model   GPT-2: pre-norm blocks, learned positions, head tied to the embedding, 1,024 tokens of context
Expect  the published weights give the published model's outputs to 1e-4 (tests/models/test_parity.py); training from
        scratch to its loss takes a cluster and was not done
Run     python launch.py --experiment=gpt2 --size=xl --mode=describe
        python launch.py --experiment=gpt2 --weights=model.safetensors --tokenizer=tokenizer.json --mode=generate \
            --prompt="The answer is" --top_p=0.9
"""

from dataclasses import replace
from typing import Literal

from fdl import optim
from fdl.data import Tokens, find, language, published_tokens, synthetic_tokens
from fdl.experiment import Experiment
from fdl.models.gpt import gpt2
from fdl.models.pretrained import published
from fdl.tasks import next_token


def experiment(
    *,
    size: Literal["small", "medium", "large", "xl"] = "small",  # 124, 355, 774 or 1,558 million parameters
    dataset: str = "",  # texts: a file or a TFDS name; empty: synthetic tokens
    tokenizer: str | None = None,  # the published tokenizer.json
    weights: str | None = None,  # pretrained weights: a folder of the Hub, or a file
    length: int = 1024,  # tokens per window
    dropout: float = 0.1,  # dropout rate
    steps: int = 1000,  # updates
    batch_size: int = 8,  # windows per step
    learning_rate: float = 1e-4,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of AdamW
    seed: int = 0,  # of the initial weights, the dropout and the order of the windows
) -> Experiment:
    tokens = None if tokenizer is None else published_tokens(tokenizer)
    if not dataset:
        data = replace(synthetic_tokens(length, vocabulary=50_257, seed=seed), tokenizer=tokens)
    elif tokens is None:
        raise ValueError(f"how do the texts of {dataset} become tokens? give --tokenizer=tokenizer.json")
    else:
        data = language(find(dataset, kind="text"), tokens=Tokens(tokens, length=length))
    model = gpt2(size, dropout=dropout)
    rate = optim.warmup_cosine(learning_rate, steps)
    return Experiment(
        model=model,
        dataset=data,
        task=next_token(bytes_per_token=data.fitted.get("bytes_per_token", 1.0)),
        optimizer=optim.adamw(rate, weight_decay=weight_decay, b2=0.95),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        init_from=None if weights is None else published(weights, model),
    )
