#!/usr/bin/env python3
"""Makes tests/data/mtp: logits of the layer for multi-token prediction of the tiny models that have one.

transformers computes no such layer. Here it is in numpy and float64, written from the description of the model, on top of
the final-normed hidden rows that transformers computes in float64. NAME.npy holds float32 logits [T + 3, V]: row t < T
belongs to the pair of token t + 1 and hidden row t of NAME.tokens.txt, each of the last three to the pair of the most
likely token of the row before and that row's own result, as drafts are made.
"""
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file

import make_tiny_models

MODELS = ["qwen3next-base", "qwen35-ratio3", "qwen35moe-gqa16"]
PAIRS = 37
TESTS = pathlib.Path(__file__).resolve().parent.parent


def load(folder):
    """(settings of the text model, tensors in float64): names of the text model alone, experts fused."""
    config = json.loads((folder / "config.json").read_text())
    config = config.get("text_config", config)
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(file))
    tensors = {name.replace("language_model.", ""): tensor.double() for name, tensor in tensors.items() if "visual" not in name}
    for prefix in {name[:name.index(".experts.") + 9] for name in tensors if ".experts.0." in name}:
        experts = range(config["num_experts"])
        part = {kind: [tensors.pop(f"{prefix}{index}.{kind}_proj.weight") for index in experts] for kind in ("gate", "up", "down")}
        tensors[prefix + "gate_up_proj"] = torch.stack([torch.cat(pair) for pair in zip(part["gate"], part["up"])])
        tensors[prefix + "down_proj"] = torch.stack(part["down"])
    return config, tensors


def hidden_rows(name, config, tensors, tokens):
    """What the output matrix of the main model reads."""
    family = next(prefix for prefix in make_tiny_models.FAMILIES if name.startswith(prefix))
    model_class, config_class, _ = make_tiny_models.FAMILIES[family]
    settings = config_class(**config)
    settings._experts_implementation = settings._attn_implementation = "eager"
    with make_tiny_models.computing_in_float64(), torch.no_grad():
        model = model_class(settings).double().eval()
        model.load_state_dict({key: tensor for key, tensor in tensors.items() if not key.startswith("mtp.")})
        return model.model(input_ids=torch.tensor([tokens]), use_cache=False).last_hidden_state[0].numpy()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Mtp:
    def __init__(self, config, tensors):
        self.config, self.w = config, {name: tensor.numpy() for name, tensor in tensors.items()}

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"]) * (1 + self.w[name])

    def rotate(self, x):
        """x [T, heads, D]; position t is slot t."""
        rope = self.config["rope_parameters"]
        rotated = int(x.shape[-1] * rope["partial_rotary_factor"])
        angles = np.arange(len(x))[:, None, None] * rope["rope_theta"] ** (-np.arange(0, rotated, 2) / rotated)
        a, b, rest = x[..., :rotated // 2], x[..., rotated // 2:rotated], x[..., rotated:]
        return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles), rest], -1)

    def attention(self, x):
        prefix, heads, kv_heads = "mtp.layers.0.self_attn.", self.config["num_attention_heads"], self.config["num_key_value_heads"]
        length, size = len(x), self.config["head_dim"]
        both = (x @ self.w[prefix + "q_proj.weight"].T).reshape(length, heads, 2 * size)
        q, gate = both[..., :size], both[..., size:]
        k = (x @ self.w[prefix + "k_proj.weight"].T).reshape(length, kv_heads, size)
        v = (x @ self.w[prefix + "v_proj.weight"].T).reshape(length, kv_heads, size)
        q = self.rotate(self.norm(q, prefix + "q_norm.weight"))
        k = self.rotate(self.norm(k, prefix + "k_norm.weight"))
        k, v = (part.repeat(heads // kv_heads, 1) for part in (k, v))
        scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(size)
        scores[:, np.triu(np.ones((length, length), bool), 1)] = -np.inf
        y = np.einsum("hts,shd->thd", softmax(scores), v) * sigmoid(gate)
        return y.reshape(length, -1) @ self.w[prefix + "o_proj.weight"].T

    def dense(self, x, prefix):
        gate, up = x @ self.w[prefix + "gate_proj.weight"].T, x @ self.w[prefix + "up_proj.weight"].T
        return (gate * sigmoid(gate) * up) @ self.w[prefix + "down_proj.weight"].T

    def feed_forward(self, x):
        prefix = "mtp.layers.0.mlp."
        if prefix + "gate.weight" not in self.w:
            return self.dense(x, prefix)
        shares = softmax(x @ self.w[prefix + "gate.weight"].T)
        out = self.dense(x, prefix + "shared_expert.") * sigmoid(x @ self.w[prefix + "shared_expert_gate.weight"].T)
        for t, row in enumerate(x):
            chosen = np.argsort(-shares[t], kind="stable")[:self.config["num_experts_per_tok"]]
            for expert in chosen:
                gate, up = np.split(self.w[prefix + "experts.gate_up_proj"][expert] @ row, 2)
                result = self.w[prefix + "experts.down_proj"][expert] @ (gate * sigmoid(gate) * up)
                out[t] += shares[t, expert] / shares[t, chosen].sum() * result  # always normalised in these models
        return out

    def run(self, tokens, hidden):
        """m [T, H] of the pairs (tokens[t], hidden[t])."""
        embedded = self.w["model.embed_tokens.weight"][tokens]
        pair = np.concatenate([self.norm(embedded, "mtp.pre_fc_norm_embedding.weight"),
                               self.norm(hidden, "mtp.pre_fc_norm_hidden.weight")], -1)
        c = pair @ self.w["mtp.fc.weight"].T
        c = c + self.attention(self.norm(c, "mtp.layers.0.input_layernorm.weight"))
        c = c + self.feed_forward(self.norm(c, "mtp.layers.0.post_attention_layernorm.weight"))
        return self.norm(c, "mtp.norm.weight")


def main():
    (TESTS / "data" / "mtp").mkdir(exist_ok=True)
    for name in MODELS:
        folder = TESTS / "data" / "models" / name
        config, tensors = load(folder)
        text = (TESTS / "data" / "models" / f"{name}.tokens.txt").read_text()
        tokens = [int(token) for token in text.split()][:PAIRS + 1]
        mtp = Mtp(config, tensors)
        hidden = hidden_rows(name, config, tensors, tokens)[:PAIRS]
        golden = np.load(next((TESTS / "data" / "models").glob(f"{name}.[0-9]*.npy")))[:PAIRS]
        output = mtp.w["lm_head.weight"]
        print(f"{name}: the model's own logits are within {abs(hidden @ output.T - golden).max():.1e} of its golden")
        following = tokens[1:]
        for step in range(4):
            m = mtp.run(following, hidden)
            logits = m @ output.T
            if step < 3:
                following = following + [int(logits[-1].argmax())]
                hidden = np.concatenate([hidden, m[-1:]])
        np.save(TESTS / "data" / "mtp" / f"{name}.npy", logits.astype(np.float32))
        print(f"  drafts {following[-3:] + [int(logits[-1].argmax())]}, logits std {logits.std():.2f}")


if __name__ == "__main__":
    main()
