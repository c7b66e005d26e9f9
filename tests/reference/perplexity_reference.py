#!/usr/bin/env python3
"""Perplexity of a GGUF `llama` model computed plainly: weights dequantized to float32, every window from an empty state.

Consecutive windows of --context tokens; the first token of a window is not scored; the exponential of the mean negative
log-likelihood of all scored tokens. The text is tokenised whole without special tokens by the `tokenizers` library from
the vocabulary in the file, or taken as ids with --tokens.
"""
import argparse
import math

import gguf
import numpy as np
import torch

PATTERNS = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        if self.fields["general.architecture"] != "llama":
            raise SystemExit(f"{path}: is {self.fields['general.architecture']}, only llama can be evaluated")
        self.tensors = {tensor.name: torch.from_numpy(np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32))
                        for tensor in reader.tensors}
        self.layers = self.fields["llama.block_count"]
        self.heads = self.fields["llama.attention.head_count"]
        self.kv_heads = self.fields.get("llama.attention.head_count_kv", self.heads)
        self.head_dim = self.fields.get("llama.attention.key_length", self.fields["llama.embedding_length"] // self.heads)
        self.eps = self.fields["llama.attention.layer_norm_rms_epsilon"]
        dimensions = self.fields.get("llama.rope.dimension_count", self.head_dim)
        if self.fields.get("llama.rope.scaling.type", "none") != "none":
            raise SystemExit("rotary scaling is not evaluated here")
        exponents = torch.arange(0, dimensions, 2, dtype=torch.float64) / dimensions
        self.frequencies = self.fields.get("llama.rope.freq_base", 10000.0) ** -exponents
        if "rope_freqs.weight" in self.tensors:
            self.frequencies /= self.tensors["rope_freqs.weight"].double()

    def norm(self, x, weight):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * weight

    def rotate(self, x):  # [heads, T, D], pairs (2i, 2i + 1)
        angles = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * self.frequencies
        cos, sin = angles.cos().float(), angles.sin().float()
        turned = x.clone()
        size = 2 * len(self.frequencies)
        even, odd = x[..., 0:size:2], x[..., 1:size:2]
        turned[..., 0:size:2] = even * cos - odd * sin
        turned[..., 1:size:2] = even * sin + odd * cos
        return turned

    def logits(self, tokens):
        weights, count = self.tensors, len(tokens)
        x = weights["token_embd.weight"][torch.tensor(tokens)]
        mask = torch.full((count, count), -math.inf).triu(1)
        for layer in range(self.layers):
            part = {name: weights[f"blk.{layer}.{name}.weight"] for name in
                    ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")}
            h = self.norm(x, part["attn_norm"])
            q, k, v = [(h @ part[name].T).view(count, -1, self.head_dim).transpose(0, 1) for name in ("attn_q", "attn_k", "attn_v")]
            q, k = self.rotate(q), self.rotate(k)
            k, v = [t.repeat_interleave(self.heads // self.kv_heads, 0) for t in (k, v)]
            attention = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(self.head_dim) + mask, -1) @ v
            x = x + attention.transpose(0, 1).reshape(count, -1) @ part["attn_output"].T
            h = self.norm(x, part["ffn_norm"])
            x = x + (torch.nn.functional.silu(h @ part["ffn_gate"].T) * (h @ part["ffn_up"].T)) @ part["ffn_down"].T
        return self.norm(x, weights["output_norm.weight"]) @ weights.get("output.weight", weights["token_embd.weight"]).T

    def tokenizer(self):
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
        tokens, kinds = self.fields["tokenizer.ggml.tokens"], self.fields["tokenizer.ggml.token_type"]
        vocabulary = {token: index for index, token in enumerate(tokens) if kinds[index] == 1}
        merges = [tuple(merge.split(" ")) for merge in self.fields["tokenizer.ggml.merges"]]
        known = [merge for merge in merges if merge[0] in vocabulary and merge[1] in vocabulary and "".join(merge) in vocabulary]
        tokenizer = Tokenizer(models.BPE(vocabulary, known))
        pre = self.fields["tokenizer.ggml.pre"]
        if pre in ("smollm", "gpt-2"):
            steps = [pre_tokenizers.Digits(individual_digits=True)] if pre == "smollm" else []
            steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
        elif pre in PATTERNS:
            steps = [pre_tokenizers.Split(Regex(PATTERNS[pre]), "isolated"),
                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        else:
            raise SystemExit(f"pre-tokenizer {pre} is not known here; use --tokens")
        if pre == "qwen2":
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("file", help="text, UTF-8; with --tokens ids separated by white space")
    parser.add_argument("--context", type=int, default=512, help="tokens of a window (default 512)")
    parser.add_argument("--tokens", action="store_true", help="FILE holds token ids")
    parser.add_argument("--logits", help="write the logits of all tokens as one window to this .npy instead")
    arguments = parser.parse_args()
    model = Model(arguments.model)
    with open(arguments.file, encoding="utf-8", newline="") as stream:
        text = stream.read()
    tokens = [int(word) for word in text.split()] if arguments.tokens else model.tokenizer().encode(text, add_special_tokens=False).ids
    with torch.no_grad():
        if arguments.logits:
            np.save(arguments.logits, model.logits(tokens).numpy())
            return
        total, scored = 0.0, 0
        for start in range(0, len(tokens), arguments.context):
            window = tokens[start:start + arguments.context]
            if len(window) < 2:
                break
            likelihood = torch.log_softmax(model.logits(window)[:-1].double(), -1)
            total -= likelihood.gather(1, torch.tensor(window[1:])[:, None]).sum().item()
            scored += len(window) - 1
    if scored == 0:
        raise SystemExit(f"{arguments.file}: fewer than two tokens")
    print(f"perplexity {math.exp(total / scored):.4f} over {scored} tokens")


if __name__ == "__main__":
    main()
