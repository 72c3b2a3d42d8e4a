"""Layouts of image classifiers: ResNet, VGG, AlexNet and the vision Transformer, as three libraries publish them."""

from collections.abc import Callable

from fdl.models.alexnet import AlexNet
from fdl.models.published.entries import (
    Entry,
    attention,
    batch_norm,
    conv,
    dense,
    flat_dense,
    joint_attention,
    leaf,
    norm,
    optional,
)
from fdl.models.published.layout import Layout
from fdl.models.resnet import ResNet
from fdl.models.vgg import STAGES, VGG
from fdl.models.vit import ViT


def resnet(model: ResNet) -> list[Layout]:
    """Return the layouts of a ResNet v1.5: torchvision's, which is timm's too, and Hugging Face's."""
    layers = range(3 if model.bottleneck else 2)
    torchvision = [*conv("conv1", "stem", bias=False), *batch_norm("bn1", "norm")]
    stem = "resnet.embedder.embedder"
    hugging_face = [
        *conv(f"{stem}.convolution", "stem", bias=False),
        *batch_norm(f"{stem}.normalization", "norm"),
    ]
    for i, blocks in enumerate(model.stages):
        for j in range(blocks):
            ours, one, other = f"stage{i + 1}_{j}", f"layer{i + 1}.{j}", f"resnet.encoder.stages.{i}.layers.{j}"
            for k in layers:
                torchvision += conv(f"{one}.conv{k + 1}", f"{ours}/conv{k + 1}", bias=False)
                torchvision += batch_norm(f"{one}.bn{k + 1}", f"{ours}/norm{k + 1}")
                hugging_face += conv(f"{other}.layer.{k}.convolution", f"{ours}/conv{k + 1}", bias=False)
                hugging_face += batch_norm(f"{other}.layer.{k}.normalization", f"{ours}/norm{k + 1}")
            if j == 0 and (i > 0 or model.bottleneck):  # where the shape changes
                torchvision += conv(f"{one}.downsample.0", f"{ours}/project", bias=False)
                torchvision += batch_norm(f"{one}.downsample.1", f"{ours}/project_norm")
                hugging_face += conv(f"{other}.shortcut.convolution", f"{ours}/project", bias=False)
                hugging_face += batch_norm(f"{other}.shortcut.normalization", f"{ours}/project_norm")
    torchvision += optional(dense("fc", "head"))
    hugging_face += optional(dense("classifier.1", "head"))
    return [Layout("torchvision", torchvision), Layout("huggingface", hugging_face, "resnet.")]


def vgg(model: VGG) -> list[Layout]:
    """Return the layouts of a VGG: torchvision's and timm's, which agree on the convolutions."""
    features: list[Entry] = []
    place = number = 0
    normalised = model.norm == "batch"
    for layers in STAGES[model.depth]:
        for _ in range(layers):
            features += conv(f"features.{place}", f"Conv_{number}")
            features += batch_norm(f"features.{place + 1}", f"BatchNorm_{number}") if normalised else []
            place, number = place + (3 if normalised else 2), number + 1
        place += 1  # pooling
    torchvision = [
        *flat_dense("classifier.0", "Dense_0", 512),
        *dense("classifier.3", "Dense_1"),
        *optional(dense("classifier.6", "Dense_2")),
    ]
    timm = [
        *flat_dense("pre_logits.fc1", "Dense_0", 512, spatial=True),
        *flat_dense("pre_logits.fc2", "Dense_1", model.hidden, spatial=True),
        *optional(dense("head.fc", "Dense_2")),
    ]
    return [Layout("torchvision", [*features, *torchvision]), Layout("timm", [*features, *timm])]


def alexnet(model: AlexNet) -> list[Layout]:
    """Return torchvision's layout of AlexNet, the only one that publishes it."""
    entries = [entry for i, place in enumerate((0, 3, 6, 8, 10)) for entry in conv(f"features.{place}", f"Conv_{i}")]
    entries += [*flat_dense("classifier.1", "Dense_0", 256), *dense("classifier.4", "Dense_1")]
    return [Layout("torchvision", [*entries, *optional(dense("classifier.6", "Dense_2"))])]


def vit(model: ViT) -> list[Layout]:
    """Return the layouts of a vision Transformer: torchvision's, timm's and Hugging Face's."""
    layouts = []
    for name, (class_token, positions, embed, final, head, block) in _VIT.items():
        entries = [leaf(class_token, "answer"), leaf(positions, "positions"), *conv(embed, "embed")]
        for i in range(model.depth):
            entries += block(i, model.heads)
        entries += [*norm(final, "norm"), *optional(dense(head, "head"))]
        layouts.append(Layout(name, entries, "vit." if name == "huggingface" else ""))
    return layouts


def _torchvision_block(i: int, heads: int) -> list[Entry]:
    theirs, ours = f"encoder.layers.encoder_layer_{i}", f"Block_{i}"
    joint = f"{theirs}.self_attention.in_proj"
    return [
        *joint_attention(
            f"{joint}_weight",
            f"{joint}_bias",
            f"{ours}/attention",
            heads,
            out=f"{theirs}.self_attention.out_proj",
        ),
        *_rest(ours, f"{theirs}.ln_1", f"{theirs}.ln_2", f"{theirs}.mlp.0", f"{theirs}.mlp.3"),
    ]


def _timm_block(i: int, heads: int) -> list[Entry]:
    theirs, ours = f"blocks.{i}", f"Block_{i}"
    joint = f"{theirs}.attn.qkv"
    return [
        *joint_attention(f"{joint}.weight", f"{joint}.bias", f"{ours}/attention", heads, out=f"{theirs}.attn.proj"),
        *_rest(ours, f"{theirs}.norm1", f"{theirs}.norm2", f"{theirs}.mlp.fc1", f"{theirs}.mlp.fc2"),
    ]


def _hugging_face_block(i: int, heads: int) -> list[Entry]:
    theirs, ours = f"vit.encoder.layer.{i}", f"Block_{i}"
    names = [f"{theirs}.attention.attention.{part}" for part in ("query", "key", "value")]
    before, after = f"{theirs}.layernorm_before", f"{theirs}.layernorm_after"
    return [
        *attention(names, f"{ours}/attention", heads, out=f"{theirs}.attention.output.dense"),
        *_rest(ours, before, after, f"{theirs}.intermediate.dense", f"{theirs}.output.dense"),
    ]


def _rest(ours: str, before: str, after: str, up: str, down: str) -> list[Entry]:
    """Return the entries of a block besides its attention."""
    return [
        *norm(before, f"{ours}/attention_norm"),
        *norm(after, f"{ours}/mlp_norm"),
        *dense(up, f"{ours}/up"),
        *dense(down, f"{ours}/down"),
    ]


# class token, positions, patches, last norm, head, block
_VIT: dict[str, tuple[str, str, str, str, str, Callable[[int, int], list[Entry]]]] = {
    "torchvision": (
        "class_token",
        "encoder.pos_embedding",
        "conv_proj",
        "encoder.ln",
        "heads.head",
        _torchvision_block,
    ),
    "timm": ("cls_token", "pos_embed", "patch_embed.proj", "norm", "head", _timm_block),
    "huggingface": (
        "vit.embeddings.cls_token",
        "vit.embeddings.position_embeddings",
        "vit.embeddings.patch_embeddings.projection",
        "vit.layernorm",
        "classifier",
        _hugging_face_block,
    ),
}
