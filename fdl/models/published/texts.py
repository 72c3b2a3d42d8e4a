"""Layouts of text models as Hugging Face publishes them: BERT, RoBERTa, DistilBERT and GPT-2."""

import flax.linen as nn

from fdl.models.bert import BERT, MaskedLM, SequenceClassifier, TokenClassifier
from fdl.models.published.entries import Entry, attention, dense, joint_attention, leaf, norm, optional
from fdl.models.published.layout import Layout
from fdl.models.transformer import Transformer


def gpt2(model: Transformer) -> list[Layout]:
    """Return the layout of GPT-2, whose matrices are the other way round than torch's."""
    entries = [
        leaf("transformer.wte.weight", "embed/embedding"),
        leaf("transformer.wpe.weight", "positions/embedding"),
        *norm("transformer.ln_f", "norm"),
    ]
    for i in range(model.depth):
        theirs, ours = f"transformer.h.{i}", f"Block_{i}"
        joint, out = f"{theirs}.attn.c_attn", f"{theirs}.attn.c_proj"
        entries += joint_attention(
            f"{joint}.weight", f"{joint}.bias", f"{ours}/attention", model.heads, out=out, transposed=False
        )
        entries += [*norm(f"{theirs}.ln_1", f"{ours}/attention_norm"), *norm(f"{theirs}.ln_2", f"{ours}/mlp_norm")]
        entries += dense(f"{theirs}.mlp.c_fc", f"{ours}/up", transposed=False)
        entries += dense(f"{theirs}.mlp.c_proj", f"{ours}/down", transposed=False)
    return [Layout("huggingface", entries, "transformer.")]


def encoder(model: nn.Module) -> list[Layout]:
    """Return the layout of BERT, RoBERTa or DistilBERT, alone or in one of its heads, by which encoder it is."""
    inside = model if isinstance(model, BERT) else model.bert
    ours = "" if isinstance(model, BERT) else "bert/"
    if not inside.types:
        return [Layout("huggingface", _distilbert(model, inside, ours), "distilbert.")]
    if inside.first_position:
        return [Layout("huggingface", _roberta(model, inside, ours), "roberta.")]
    return [Layout("huggingface", _bert(model, inside, ours), "bert.")]


def _bert(model: nn.Module, inside: BERT, ours: str) -> list[Entry]:
    heads = {
        MaskedLM: [
            *dense("cls.predictions.transform.dense", "transform"),
            *norm("cls.predictions.transform.LayerNorm", "norm"),
            leaf("cls.predictions.bias", "bias"),
        ],
        SequenceClassifier: dense("classifier", "head"),
        TokenClassifier: dense("classifier", "head"),
    }
    pooler = optional(dense("bert.pooler.dense", f"{ours}pooler"))
    return [*_body("bert", inside, ours), *pooler, *optional(heads.get(type(model), []))]


def _roberta(model: nn.Module, inside: BERT, ours: str) -> list[Entry]:
    """Its classifier's first layer is what BERT calls the pooler."""
    heads = {
        BERT: dense("roberta.pooler.dense", "pooler"),
        MaskedLM: [
            *dense("lm_head.dense", "transform"),
            *norm("lm_head.layer_norm", "norm"),
            leaf("lm_head.bias", "bias"),
        ],
        SequenceClassifier: [
            *dense("classifier.dense", f"{ours}pooler"),
            *dense("classifier.out_proj", "head"),
        ],
        TokenClassifier: dense("classifier", "head"),
    }
    return [*_body("roberta", inside, ours), *optional(heads.get(type(model), []))]


def _body(theirs: str, inside: BERT, ours: str) -> list[Entry]:
    """Return the entries of the encoder that BERT and RoBERTa share."""
    embeddings = f"{theirs}.embeddings"
    entries = [
        leaf(f"{embeddings}.word_embeddings.weight", f"{ours}embed/embedding"),
        leaf(f"{embeddings}.position_embeddings.weight", f"{ours}positions/embedding"),
        leaf(f"{embeddings}.token_type_embeddings.weight", f"{ours}types/embedding"),
        *norm(f"{embeddings}.LayerNorm", f"{ours}norm"),
    ]
    for i in range(inside.depth):
        block, place = f"{theirs}.encoder.layer.{i}", f"{ours}Block_{i}"
        names = [f"{block}.attention.self.{part}" for part in ("query", "key", "value")]
        entries += attention(names, f"{place}/attention", inside.heads, out=f"{block}.attention.output.dense")
        entries += norm(f"{block}.attention.output.LayerNorm", f"{place}/attention_norm")
        entries += dense(f"{block}.intermediate.dense", f"{place}/up")
        entries += dense(f"{block}.output.dense", f"{place}/down")
        entries += norm(f"{block}.output.LayerNorm", f"{place}/mlp_norm")
    return entries


def _distilbert(model: nn.Module, inside: BERT, ours: str) -> list[Entry]:
    """It has no segment types, and its classifier's first layer, with a ReLU, is what BERT calls the pooler."""
    embeddings = "distilbert.embeddings"
    entries = [
        leaf(f"{embeddings}.word_embeddings.weight", f"{ours}embed/embedding"),
        leaf(f"{embeddings}.position_embeddings.weight", f"{ours}positions/embedding"),
        *norm(f"{embeddings}.LayerNorm", f"{ours}norm"),
    ]
    for i in range(inside.depth):
        block, place = f"distilbert.transformer.layer.{i}", f"{ours}Block_{i}"
        names = [f"{block}.attention.{part}_lin" for part in "qkv"]
        entries += attention(names, f"{place}/attention", inside.heads, out=f"{block}.attention.out_lin")
        entries += norm(f"{block}.sa_layer_norm", f"{place}/attention_norm")
        entries += [*dense(f"{block}.ffn.lin1", f"{place}/up"), *dense(f"{block}.ffn.lin2", f"{place}/down")]
        entries += norm(f"{block}.output_layer_norm", f"{place}/mlp_norm")
    heads = {
        MaskedLM: [
            *dense("vocab_transform", "transform"),
            *norm("vocab_layer_norm", "norm"),
            leaf("vocab_projector.bias", "bias"),
        ],
        SequenceClassifier: [*dense("pre_classifier", f"{ours}pooler"), *dense("classifier", "head")],
        TokenClassifier: dense("classifier", "head"),
    }
    return [*entries, *optional(heads.get(type(model), []))]
