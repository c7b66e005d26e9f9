"""Writes a model of transformers as a Hugging Face folder, in every layout that checkpoints of these families come in."""
import json
import pathlib

import torch
from safetensors.torch import save_file

FP8_BLOCK = 16  # rows and columns of a scale; the real ones have 128, more than a tiny matrix has


def split_rows(tensors, config):
    """in_proj_qkvz and in_proj_ba, interleaved per key head, as in_proj_qkv, z, b and a."""
    heads, ratio = config.linear_num_key_heads, config.linear_num_value_heads // config.linear_num_key_heads
    key, value = config.linear_key_head_dim, config.linear_value_head_dim
    for name in [name for name in tensors if name.endswith("in_proj_qkvz.weight")]:
        mixed = tensors.pop(name)
        parts = mixed.reshape(heads, -1, mixed.shape[1]).split([key, key, ratio * value, ratio * value], dim=1)
        q, k, v, z = [part.reshape(-1, mixed.shape[1]) for part in parts]
        tensors[name.replace("qkvz", "qkv")] = torch.cat([q, k, v])
        tensors[name.replace("qkvz", "z")] = z
    for name in [name for name in tensors if name.endswith("in_proj_ba.weight")]:
        mixed = tensors.pop(name)
        b, a = mixed.reshape(heads, 2 * ratio, -1).split([ratio, ratio], dim=1)
        tensors[name.replace("_ba", "_b")] = b.reshape(-1, mixed.shape[1])
        tensors[name.replace("_ba", "_a")] = a.reshape(-1, mixed.shape[1])


def split_experts(tensors):
    """experts.gate_up_proj and experts.down_proj as matrices of each expert."""
    for name in [name for name in tensors if name.endswith("experts.gate_up_proj")]:
        prefix = name[:-len("gate_up_proj")]
        down = tensors.pop(prefix + "down_proj")
        for index, both in enumerate(tensors.pop(name)):
            gate, up = both.chunk(2)
            for part, matrix in (("gate", gate), ("up", up), ("down", down[index])):
                tensors[f"{prefix}{index}.{part}_proj.weight"] = matrix


def add_mtp(tensors, config, generator):
    """A layer for multi-token prediction with random weights, of the shapes of the last attention layer."""
    hidden = config.hidden_size
    layer = max(i for i, kind in enumerate(config.layer_types) if kind == "full_attention")
    prefix = f"model.layers.{layer}."
    shapes = {"mtp.layers.0." + name[len(prefix):]: tensor.shape for name, tensor in tensors.items() if name.startswith(prefix)}
    shapes["mtp.fc.weight"] = (hidden, 2 * hidden)
    for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
        shapes[f"mtp.{name}.weight"] = (hidden,)
    for name, shape in shapes.items():
        tensors[name] = torch.randn(shape, generator=generator, dtype=torch.float64) * (0.3 if len(shape) == 1 else shape[-1] ** -0.5)


def is_matrix(name, tensor):
    """What FP8 checkpoints quantize: projections, but neither routers, gates, norms nor embeddings."""
    kept = ("norm", "A_log", "dt_bias", "conv1d", "mlp.gate.", "shared_expert_gate", "in_proj_b", "in_proj_a", "embed", "lm_head")
    return tensor.dim() >= 2 and not any(part in name for part in kept)


def to_fp8(tensor):
    """(values in E4M3, scales [.., rows / 16, columns / 16])."""
    rows, columns = tensor.shape[-2:]
    down, across = -(-rows // FP8_BLOCK), -(-columns // FP8_BLOCK)
    padded = torch.zeros(*tensor.shape[:-2], down * FP8_BLOCK, across * FP8_BLOCK, dtype=torch.float32)
    padded[..., :rows, :columns] = tensor.float()
    blocks = padded.unflatten(-1, (across, FP8_BLOCK)).unflatten(-3, (down, FP8_BLOCK))
    scales = blocks.abs().amax(dim=(-3, -1)) / 448
    scales[scales == 0] = 1
    wide = scales.repeat_interleave(FP8_BLOCK, -2).repeat_interleave(FP8_BLOCK, -1)[..., :rows, :columns]
    return (tensor.float() / wide).to(torch.float8_e4m3fn), scales, wide


def rounded(name, tensor, kind):
    """The value that a file of this kind keeps, as float64: what the reference computes with. Experts are single in FP8."""
    if kind == "fp8" and name.endswith("gate_up_proj"):
        return torch.cat([rounded("", half, kind) for half in tensor.chunk(2, dim=-2)], dim=-2)
    if kind == "fp8" and is_matrix(name, tensor):
        values, _, wide = to_fp8(tensor)
        return (values.float() * wide).to(torch.bfloat16).double()
    return tensor.to({"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "fp8": torch.bfloat16}[kind]).double()


def write_folder(model, folder, kind="f32", mtp=False, split=False, single_experts=False, multimodal=False, shards=1):
    """`split`: projections one by one; `single_experts`: experts one by one; `multimodal`: names and configuration of a
    checkpoint with a vision tower."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    generator = torch.Generator().manual_seed(2)
    tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    if mtp:
        add_mtp(tensors, config, generator)
    if split:
        split_rows(tensors, config)
    if single_experts:
        split_experts(tensors)
    if multimodal:
        tensors = {name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name: tensor
                   for name, tensor in tensors.items()}
        tensors["model.visual.patch_embed.proj.weight"] = torch.randn((4, 3, 2, 2, 2), generator=generator)
        tensors["model.visual.patch_embed.proj.bias"] = torch.randn((4,), generator=generator)
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "fp8": torch.bfloat16}[kind]
    stored = {}
    for name, tensor in tensors.items():
        if kind == "fp8" and is_matrix(name, tensor) and "visual" not in name:
            stored[name], stored[name + "_scale_inv"], _ = to_fp8(tensor)
        else:
            stored[name] = tensor.to(dtype)
    stored = {name: tensor.contiguous().clone() for name, tensor in stored.items()}

    if shards == 1:
        files = {"model.safetensors": stored}
    else:
        files = {f"model-{shard + 1:05d}-of-{shards:05d}.safetensors": {name: stored[name] for name in sorted(stored)[shard::shards]}
                 for shard in range(shards)}
        weight_map = {name: file for file, part in files.items() for name in part}
        total = sum(tensor.numel() * tensor.element_size() for tensor in stored.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index) + "\n", encoding="utf-8")

    for file, part in files.items():
        save_file(part, folder / file, metadata={"format": "pt"})
        (folder / file).chmod(0o644)

    settings = json.loads(config.to_json_string(use_diff=False))
    settings = {key: value for key, value in settings.items() if not key.startswith("_") and value is not None}
    if kind == "fp8":
        settings["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [FP8_BLOCK, FP8_BLOCK]}
    if multimodal:
        kind_name = settings["model_type"].removesuffix("_text")
        settings = {"architectures": [type(model).__name__.replace("CausalLM", "ConditionalGeneration")], "model_type": kind_name,
                    "tie_word_embeddings": config.tie_word_embeddings, "text_config": settings, "vision_config": {"depth": 1}}
    else:
        settings["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
