#!/usr/bin/env python3
"""Converts a Hugging Face folder (config.json, *.safetensors, tokenizer.json) of the families below to GGUF.

The layout is that of llama.cpp's converter for these families: norms of Qwen3-Next and Qwen3.5 plus one, ssm_a =
-exp(A_log), q|k|v and z taken apart, b and a of Qwen3-Next left interleaved per key head, value heads of Qwen3.5 tiled over
the key heads, llama query and key rows in the order of adjacent pairs, a layer for multi-token prediction as a block more.
"""
import argparse
import json
import math
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quant
from safetensors import safe_open

TYPES = {"f32": Quant.F32, "f16": Quant.F16, "bf16": Quant.BF16, "q8_0": Quant.Q8_0, "q4_0": Quant.Q4_0, "q4_1": Quant.Q4_1}
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}
ARCHITECTURES = {"llama": "llama", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "qwen3_next": "qwen3next",
                 "qwen3_5": "qwen35", "qwen3_5_text": "qwen35", "qwen3_5_moe": "qwen35moe", "qwen3_5_moe_text": "qwen35moe"}
TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED = 1, 3, 4, 5


class Checkpoint:
    """Tensors of all safetensors files of a folder, as float32 (also read from bfloat16)."""

    def __init__(self, folder):
        self.files = {}
        for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
            handle = safe_open(path, framework="pt")
            for name in handle.keys():
                self.files[name] = handle
        if not self.files:
            raise SystemExit(f"{folder}: no .safetensors files")
        self.left = set(self.files)

    def __contains__(self, name):
        return name in self.files

    def take(self, name):
        if name not in self.files:
            raise SystemExit(f"tensor {name} is missing")
        self.left.discard(name)
        return self.files[name].get_tensor(name).float().numpy()


class Output:
    """The GGUF file: matrices in the wanted type where their rows allow it, everything small in float32."""

    def __init__(self, path, architecture, kind):
        self.writer = gguf.GGUFWriter(str(path), architecture)
        self.prefix = architecture + "."
        self.kind = kind

    def number(self, key, value):
        self.writer.add_uint32(self.prefix + key, int(value))

    def real(self, key, value):
        self.writer.add_float32(self.prefix + key, float(value))

    def small(self, name, data):
        self.writer.add_tensor(name, np.ascontiguousarray(data, dtype=np.float32))

    def matrix(self, name, data):
        data = np.ascontiguousarray(data, dtype=np.float32)
        quant = TYPES[self.kind]
        block = gguf.GGML_QUANT_SIZES[quant][0]
        if quant == Quant.F32 or data.shape[-1] % block != 0:
            self.writer.add_tensor(name, data)
        elif quant == Quant.F16:
            self.writer.add_tensor(name, data.astype(np.float16))
        else:
            self.writer.add_tensor(name, gguf.quants.quantize(data, quant), raw_dtype=quant)

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def rope_parameters(config):
    """Rotary settings from any of the places where config.json has kept them."""
    rope = dict(config.get("rope_scaling") or {})
    rope.update(config.get("rope_parameters") or {})
    rope.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    rope.setdefault("rope_type", rope.get("type", "default"))
    return rope


def llama3_divisors(rope, dimensions):
    """Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended."""
    divisors = []
    for i in range(dimensions // 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (2 * i / dimensions)
        turns = rope["original_max_position_embeddings"] / wavelength
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        blend = min(max((turns - low) / (high - low), 0.0), 1.0)
        divisors.append(1.0 / ((1.0 - blend) / rope["factor"] + blend))
    return np.array(divisors, dtype=np.float32)


def write_rope(out, rope, dimensions):
    out.number("rope.dimension_count", dimensions)
    out.real("rope.freq_base", rope["rope_theta"])
    kind = rope["rope_type"]
    if kind == "llama3":
        out.small("rope_freqs.weight", llama3_divisors(rope, dimensions))
    elif kind in ("linear", "yarn"):
        out.writer.add_string(out.prefix + "rope.scaling.type", kind)
        out.real("rope.scaling.factor", rope["factor"])
        if kind == "yarn":
            out.number("rope.scaling.original_context_length", rope["original_max_position_embeddings"])
            for theirs, ours in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
                if rope.get(theirs) is not None:
                    out.real("rope.scaling." + ours, rope[theirs])
            if rope.get("attention_factor") is not None:
                natural = 0.1 * math.log(rope["factor"]) + 1 if rope["factor"] > 1 else 1
                out.real("rope.scaling.attn_factor", rope["attention_factor"] / natural)
    elif kind != "default":
        raise SystemExit(f"rope type {kind} cannot be converted")


def write_common(out, config, rope):
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    out.number("block_count", config["num_hidden_layers"])
    out.number("context_length", config["max_position_embeddings"])
    out.number("embedding_length", config["hidden_size"])
    if "intermediate_size" in config:
        out.number("feed_forward_length", config["intermediate_size"])
    out.number("vocab_size", config["vocab_size"])
    out.number("attention.head_count", heads)
    out.number("attention.head_count_kv", config.get("num_key_value_heads") or heads)
    out.number("attention.key_length", head_dim)
    out.number("attention.value_length", head_dim)
    out.real("attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    return head_dim


def convert_plain(out, checkpoint, config):
    """Llama, Qwen3 and Qwen3-MoE."""
    for key in ("attention_bias", "mlp_bias"):
        if config.get(key):
            raise SystemExit(f"{key} cannot be converted")
    llama = config["model_type"] == "llama"
    rope = rope_parameters(config)
    head_dim = write_common(out, config, rope)
    write_rope(out, rope, head_dim)
    if config["model_type"] == "qwen3_moe":
        write_experts(out, config)

    def adjacent_pairs(weight):  # rows i and i + D/2 of each head become 2i and 2i + 1
        rows, columns = weight.shape
        return weight.reshape(-1, 2, head_dim // 2, columns).swapaxes(1, 2).reshape(rows, columns)

    out.matrix("token_embd.weight", checkpoint.take("model.embed_tokens.weight"))
    out.small("output_norm.weight", checkpoint.take("model.norm.weight"))
    if "lm_head.weight" in checkpoint and not config.get("tie_word_embeddings"):
        out.matrix("output.weight", checkpoint.take("lm_head.weight"))
    for layer in range(config["num_hidden_layers"]):
        theirs, ours = f"model.layers.{layer}.", f"blk.{layer}."
        out.small(ours + "attn_norm.weight", checkpoint.take(theirs + "input_layernorm.weight"))
        for name in ("q", "k"):
            weight = checkpoint.take(theirs + f"self_attn.{name}_proj.weight")
            out.matrix(ours + f"attn_{name}.weight", adjacent_pairs(weight) if llama else weight)
            if not llama:
                out.small(ours + f"attn_{name}_norm.weight", checkpoint.take(theirs + f"self_attn.{name}_norm.weight"))
        out.matrix(ours + "attn_v.weight", checkpoint.take(theirs + "self_attn.v_proj.weight"))
        out.matrix(ours + "attn_output.weight", checkpoint.take(theirs + "self_attn.o_proj.weight"))
        out.small(ours + "ffn_norm.weight", checkpoint.take(theirs + "post_attention_layernorm.weight"))
        write_ffn(out, checkpoint, config, theirs + "mlp.", ours)


def experts(checkpoint, prefix, count):
    """(gate, up, down) stacks from the fused or the per-expert names."""
    if prefix + "experts.gate_up_proj" in checkpoint:
        gate, up = np.split(checkpoint.take(prefix + "experts.gate_up_proj"), 2, axis=1)
        return gate, up, checkpoint.take(prefix + "experts.down_proj")
    return [np.stack([checkpoint.take(f"{prefix}experts.{e}.{name}_proj.weight") for e in range(count)])
            for name in ("gate", "up", "down")]


def write_experts(out, config):
    out.number("expert_count", config["num_experts"])
    out.number("expert_used_count", config["num_experts_per_tok"])
    out.number("expert_feed_forward_length", config["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in config:
        out.number("expert_shared_feed_forward_length", config["shared_expert_intermediate_size"])
    if not config.get("norm_topk_prob", True):
        out.writer.add_bool(out.prefix + "norm_top_k_prob", False)


def write_ffn(out, checkpoint, config, mlp, ours, legacy=False):
    if mlp + "gate.weight" not in checkpoint:
        for name in ("gate", "up", "down"):
            out.matrix(ours + f"ffn_{name}.weight", checkpoint.take(mlp + f"{name}_proj.weight"))
        return
    out.small(ours + "ffn_gate_inp.weight", checkpoint.take(mlp + "gate.weight"))
    gate, up, down = experts(checkpoint, mlp, config["num_experts"])
    if legacy:
        out.matrix(ours + "ffn_gate_up_exps.weight", np.concatenate([gate, up], axis=1))
    else:
        out.matrix(ours + "ffn_gate_exps.weight", gate)
        out.matrix(ours + "ffn_up_exps.weight", up)
    out.matrix(ours + "ffn_down_exps.weight", down)
    if mlp + "shared_expert_gate.weight" in checkpoint:
        for name in ("gate", "up", "down"):
            out.matrix(ours + f"ffn_{name}_shexp.weight", checkpoint.take(mlp + f"shared_expert.{name}_proj.weight"))
        out.matrix(ours + "ffn_gate_inp_shexp.weight", checkpoint.take(mlp + "shared_expert_gate.weight")[0])


def layer_kinds(config):
    """layer_types as the smallest interval that expresses it, or None."""
    count = config["num_hidden_layers"]
    interval = config.get("full_attention_interval", 4)
    kinds = config.get("layer_types") or ["full_attention" if (i + 1) % interval == 0 else "linear_attention" for i in range(count)]
    for interval in range(1, count + 2):
        if all((kind == "full_attention") == ((i + 1) % interval == 0) for i, kind in enumerate(kinds)):
            return kinds, interval
    return kinds, None


def write_attention(out, checkpoint, theirs, ours):
    for name in ("q", "k", "v"):
        out.matrix(ours + f"attn_{name}.weight", checkpoint.take(theirs + f"self_attn.{name}_proj.weight"))
    out.matrix(ours + "attn_output.weight", checkpoint.take(theirs + "self_attn.o_proj.weight"))
    for name in ("q", "k"):
        out.small(ours + f"attn_{name}_norm.weight", checkpoint.take(theirs + f"self_attn.{name}_norm.weight") + 1)


def write_delta_next(out, checkpoint, config, delta, ours, legacy):
    nk, dk, dv = config["linear_num_key_heads"], config["linear_key_head_dim"], config["linear_value_head_dim"]
    ratio = config["linear_num_value_heads"] // nk
    qkvz = checkpoint.take(delta + "in_proj_qkvz.weight")
    if legacy:
        out.matrix(ours + "ssm_in.weight", qkvz)
    else:
        groups = np.split(qkvz.reshape(nk, -1, qkvz.shape[1]), [dk, 2 * dk, 2 * dk + ratio * dv], axis=1)
        q, k, v, z = [part.reshape(-1, qkvz.shape[1]) for part in groups]
        out.matrix(ours + "attn_qkv.weight", np.concatenate([q, k, v]))
        out.matrix(ours + "attn_gate.weight", z)
    out.matrix(ours + "ssm_ba.weight", checkpoint.take(delta + "in_proj_ba.weight"))
    out.small(ours + "ssm_conv1d.weight", checkpoint.take(delta + "conv1d.weight")[:, 0, :])
    out.small(ours + "ssm_a", -np.exp(checkpoint.take(delta + "A_log")))
    out.small(ours + "ssm_dt.bias", checkpoint.take(delta + "dt_bias"))
    out.small(ours + "ssm_norm.weight", checkpoint.take(delta + "norm.weight"))
    out.matrix(ours + "ssm_out.weight", checkpoint.take(delta + "out_proj.weight"))


def write_delta_35(out, checkpoint, config, delta, ours):
    nk, nv = config["linear_num_key_heads"], config["linear_num_value_heads"]
    keys = 2 * nk * config["linear_key_head_dim"]

    def tiled(rows):  # value head j r + s goes to place s nk + j; rows of a head stay together
        return rows.reshape(nk, nv // nk, -1, rows.shape[-1]).swapaxes(0, 1).reshape(rows.shape)

    def tiled_values(rows):
        return np.concatenate([rows[:keys], tiled(rows[keys:])])

    out.matrix(ours + "attn_qkv.weight", tiled_values(checkpoint.take(delta + "in_proj_qkv.weight")))
    out.matrix(ours + "attn_gate.weight", tiled(checkpoint.take(delta + "in_proj_z.weight")))
    out.matrix(ours + "ssm_beta.weight", tiled(checkpoint.take(delta + "in_proj_b.weight")))
    out.matrix(ours + "ssm_alpha.weight", tiled(checkpoint.take(delta + "in_proj_a.weight")))
    out.small(ours + "ssm_conv1d.weight", tiled_values(checkpoint.take(delta + "conv1d.weight")[:, 0, :]))
    out.small(ours + "ssm_a", tiled(-np.exp(checkpoint.take(delta + "A_log"))[:, None])[:, 0])
    out.small(ours + "ssm_dt.bias", tiled(checkpoint.take(delta + "dt_bias")[:, None])[:, 0])
    out.small(ours + "ssm_norm.weight", checkpoint.take(delta + "norm.weight"))
    out.matrix(ours + "ssm_out.weight", tiled(checkpoint.take(delta + "out_proj.weight").T).T)


def write_mtp(out, checkpoint, config, ours):
    hidden = "mtp.layers.0."
    for name, theirs in (("enorm", "pre_fc_norm_embedding"), ("hnorm", "pre_fc_norm_hidden"), ("shared_head_norm", "norm")):
        out.small(ours + f"nextn.{name}.weight", checkpoint.take(f"mtp.{theirs}.weight") + 1)
    out.matrix(ours + "nextn.eh_proj.weight", checkpoint.take("mtp.fc.weight"))
    out.small(ours + "attn_norm.weight", checkpoint.take(hidden + "input_layernorm.weight") + 1)
    out.small(ours + "post_attention_norm.weight", checkpoint.take(hidden + "post_attention_layernorm.weight") + 1)
    write_attention(out, checkpoint, hidden, ours)
    write_ffn(out, checkpoint, config, hidden + "mlp.", ours)


def convert_hybrid(out, checkpoint, config, legacy):
    """Qwen3-Next and Qwen3.5."""
    rope = rope_parameters(config)
    mtp = "mtp.fc.weight" in checkpoint and config["model_type"] != "qwen3_next"  # as llama.cpp's converter
    root = "model.language_model." if "model.language_model.norm.weight" in checkpoint else "model."
    layers = config["num_hidden_layers"]
    head_dim = write_common(out, dict(config, num_hidden_layers=layers + mtp), rope)
    if mtp:
        out.number("nextn_predict_layers", 1)
    partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 0.25))
    write_rope(out, rope, int(head_dim * partial))
    if config.get("num_experts"):
        write_experts(out, config)
    out.number("ssm.conv_kernel", config["linear_conv_kernel_dim"])
    out.number("ssm.state_size", config["linear_key_head_dim"])
    out.number("ssm.group_count", config["linear_num_key_heads"])
    out.number("ssm.time_step_rank", config["linear_num_value_heads"])
    out.number("ssm.inner_size", config["linear_num_value_heads"] * config["linear_value_head_dim"])
    kinds, interval = layer_kinds(config)
    if interval is not None:
        out.number("full_attention_interval", interval)
    else:
        out.writer.add_array(out.prefix + "attention.recurrent_layers", [kind != "full_attention" for kind in kinds])

    out.matrix("token_embd.weight", checkpoint.take(root + "embed_tokens.weight"))
    out.small("output_norm.weight", checkpoint.take(root + "norm.weight") + 1)
    if "lm_head.weight" in checkpoint and not config.get("tie_word_embeddings"):
        out.matrix("output.weight", checkpoint.take("lm_head.weight"))
    for layer, kind in enumerate(kinds):
        theirs, ours = f"{root}layers.{layer}.", f"blk.{layer}."
        out.small(ours + "attn_norm.weight", checkpoint.take(theirs + "input_layernorm.weight") + 1)
        out.small(ours + "post_attention_norm.weight", checkpoint.take(theirs + "post_attention_layernorm.weight") + 1)
        if kind == "full_attention":
            write_attention(out, checkpoint, theirs, ours)
        elif theirs + "linear_attn.in_proj_qkvz.weight" in checkpoint:
            write_delta_next(out, checkpoint, config, theirs + "linear_attn.", ours, legacy)
        else:
            write_delta_35(out, checkpoint, config, theirs + "linear_attn.", ours)
        write_ffn(out, checkpoint, config, theirs + "mlp.", ours, legacy)
    if mtp:
        write_mtp(out, checkpoint, config, f"blk.{layers}.")
    checkpoint.left = {name for name in checkpoint.left if not name.startswith(("mtp.", "model.visual."))}


def pre_tokenizer_name(tokenizer):
    """The GGUF name of a tokenizer.json's pre-tokenizer, told by its patterns."""
    text = json.dumps(tokenizer.get("pre_tokenizer"))
    if r"[\\p{L}\\p{M}]" in text:
        return "qwen35"
    if r"\\p{N}{1,3}" in text:
        return "llama-bpe"
    if r"\\p{N}" in text:
        return "qwen2"
    return "smollm" if "Digits" in text else "gpt-2"


def write_tokenizer(out, folder, config, pre):
    path = pathlib.Path(folder) / "tokenizer.json"
    if not path.exists():
        return
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    if tokenizer["model"]["type"] != "BPE":
        raise SystemExit(f"{path}: only byte-level BPE can be converted, not {tokenizer['model']['type']}")
    size = config["vocab_size"]
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [TOKEN_UNUSED] * size
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], types[index] = token, TOKEN_NORMAL
    for added in tokenizer.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        types[added["id"]] = TOKEN_CONTROL if added["special"] else TOKEN_USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer = out.writer
    writer.add_string("tokenizer.ggml.model", "gpt2")
    writer.add_string("tokenizer.ggml.pre", pre or pre_tokenizer_name(tokenizer))
    writer.add_array("tokenizer.ggml.tokens", tokens)
    writer.add_array("tokenizer.ggml.token_type", types)
    if merges:
        writer.add_array("tokenizer.ggml.merges", merges)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    settings = {}
    if (settings_path := pathlib.Path(folder) / "tokenizer_config.json").exists():
        settings = json.loads(settings_path.read_text(encoding="utf-8"))
    for ours, theirs in (("eos_token_id", "eos_token"), ("bos_token_id", "bos_token"), ("padding_token_id", "pad_token")):
        token = settings.get(theirs)
        token = token.get("content") if isinstance(token, dict) else token
        index = tokens.index(token) if token in tokens else config.get(theirs + "_id")
        index = index[0] if isinstance(index, list) else index
        if index is not None:
            writer.add_uint32("tokenizer.ggml." + ours, index)
    template = settings.get("chat_template")
    if (template_path := pathlib.Path(folder) / "chat_template.jinja").exists():
        template = template_path.read_text(encoding="utf-8")
    if isinstance(template, str):
        writer.add_string("tokenizer.chat_template", template)


def convert(folder, path, kind="f32", name=None, pre=None, legacy=False):
    config = json.loads((pathlib.Path(folder) / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    if "num_local_experts" in config:  # what transformers 5 calls it in Qwen3-MoE
        config["num_experts"] = config["num_local_experts"]
    architecture = ARCHITECTURES.get(config["model_type"])
    if architecture is None:
        raise SystemExit(f"{folder}: model type {config['model_type']} cannot be converted; {', '.join(ARCHITECTURES)} can")
    checkpoint = Checkpoint(folder)
    out = Output(path, architecture, kind)
    out.writer.add_string("general.name", name or pathlib.Path(folder).name)
    out.writer.add_uint32("general.file_type", FILE_TYPES[kind])
    if config["model_type"] in ("llama", "qwen3", "qwen3_moe"):
        convert_plain(out, checkpoint, config)
    else:
        convert_hybrid(out, checkpoint, config, legacy)
    if config.get("tie_word_embeddings"):
        checkpoint.left.discard("lm_head.weight")
    unused = {tensor for tensor in checkpoint.left if not tensor.endswith("rotary_emb.inv_freq")}
    if unused:
        raise SystemExit(f"tensors that have no place in the file: {sorted(unused)[:5]}")
    write_tokenizer(out, folder, config, pre)
    out.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="Hugging Face folder")
    parser.add_argument("output", help="GGUF file to write")
    parser.add_argument("--type", choices=TYPES, default="f32", help="of the matrices (default f32)")
    parser.add_argument("--name", help="general.name (default: the folder's name)")
    parser.add_argument("--pre", help="tokenizer.ggml.pre (default: told by tokenizer.json)")
    parser.add_argument("--legacy-layout", action="store_true", help="interleaved ssm_in and fused experts, as in older files")
    arguments = parser.parse_args()
    convert(arguments.folder, arguments.output, arguments.type, arguments.name, arguments.pre, arguments.legacy_layout)


if __name__ == "__main__":
    main()
