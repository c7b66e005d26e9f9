#!/usr/bin/env python3
"""Makes the tiny models of tests/data/models and the logits that transformers computes for them in float64.

For each model: NAME.gguf where the format can express it, NAME (a Hugging Face folder), NAME.tokens.txt (one sequence;
shorter tests take its beginning) and NAME.T.npy, the float32 logits [T, V] of its first T tokens. Weights are random but
lively: norms differ from one, decays range from none to strong, routers are decided, logits have a standard deviation of
one.
"""
import argparse
import contextlib
import copy
import json
import pathlib
import tempfile

import gguf
import numpy as np
import torch
import transformers
from transformers import modeling_rope_utils
from transformers.models.llama import modeling_llama
from transformers.models.qwen3 import modeling_qwen3
from transformers.models.qwen3_5 import modeling_qwen3_5
from transformers.models.qwen3_5_moe import modeling_qwen3_5_moe
from transformers.models.qwen3_moe import modeling_qwen3_moe
from transformers.models.qwen3_next import modeling_qwen3_next

import convert_to_gguf
import write_checkpoint

VOCABULARY = 288
MERGES = ["Ġ t", "h e", "i n", "Ġ a", "e r", "o n", "Ġt he", "r e", "Ġ o", "Ġ s", "a t", "n d", "Ġ w", "e s", "Ġo f", "in g"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
                 "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
TOKENS = 199  # 3 chunks of 64 and 7

QWEN = dict(
    vocab_size=VOCABULARY, hidden_size=24, intermediate_size=20, num_hidden_layers=5, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, full_attention_interval=2, linear_num_key_heads=2, linear_num_value_heads=4,
    linear_key_head_dim=8, linear_value_head_dim=8, linear_conv_kernel_dim=4, num_experts=4, num_experts_per_tok=2,
    moe_intermediate_size=12, shared_expert_intermediate_size=12, max_position_embeddings=4096, rms_norm_eps=1e-6,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
)
LLAMA = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=4096, rms_norm_eps=1e-5,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
)
QWEN3 = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=20, num_hidden_layers=3, num_attention_heads=8,
    num_key_value_heads=1, head_dim=16, max_position_embeddings=4096, rms_norm_eps=1e-6,
    rope_parameters={"rope_type": "default", "rope_theta": 1e6},
)
QWEN3_MOE = dict(QWEN3, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=8, norm_topk_prob=True)
QWEN35 = {key: value for key, value in QWEN.items() if "expert" not in key and key != "moe_intermediate_size"}
QWEN35_MOE = {key: value for key, value in QWEN.items() if key != "intermediate_size"}

# What a name begins with: the classes and settings of its family; the first that fits counts.
FAMILIES = {
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig, LLAMA),
    "qwen3next": (transformers.Qwen3NextForCausalLM, transformers.Qwen3NextConfig, QWEN),
    "qwen35moe": (modeling_qwen3_5_moe.Qwen3_5MoeForCausalLM, modeling_qwen3_5_moe.Qwen3_5MoeTextConfig, QWEN35_MOE),
    "qwen35": (modeling_qwen3_5.Qwen3_5ForCausalLM, modeling_qwen3_5.Qwen3_5TextConfig, QWEN35),
    "qwen3moe": (transformers.Qwen3MoeForCausalLM, transformers.Qwen3MoeConfig, QWEN3_MOE),
    "qwen3": (transformers.Qwen3ForCausalLM, transformers.Qwen3Config, QWEN3),
}
CENTRED = ("qwen3next", "qwen35")  # families whose norms are stored around zero
QWEN_ROPE = {"rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25}

GGUF, FOLDER = "gguf", "folder"
# name: (changes of the family's settings, length of the golden, {file: its options}). A key of the form "folder-bf16" or
# "gguf-bf16" is a file NAME-bf16 with its own golden, because the weights are rounded.
MODELS = {
    # The base of the mathematics' description: 8 layers, two of them attention, one dense; ratio 2. The folder has a layer
    # for multi-token prediction, single experts and three shards.
    "qwen3next-base": (dict(num_hidden_layers=8, full_attention_interval=4, num_experts=8, num_experts_per_tok=3,
                            moe_intermediate_size=8, mlp_only_layers=[1], rope_parameters=QWEN_ROPE), 199,
                       {GGUF: {}, FOLDER: dict(mtp=True, single_experts=True, shards=3)}),
    # As many value heads as key heads, output tied to the embedding, expert weights not normalised, the last layer DeltaNet.
    "qwen3next-tied": (dict(linear_num_key_heads=3, linear_num_value_heads=3, tie_word_embeddings=True,
                            norm_topk_prob=False), 65, {GGUF: {}, FOLDER: dict(single_experts=True)}),
    # Three value heads for each key head, values longer than keys, one KV head, one expert of five.
    "qwen3next-ratio3": (dict(num_hidden_layers=3, linear_num_key_heads=2, linear_num_value_heads=6,
                              linear_value_head_dim=12, num_key_value_heads=1, num_experts=5, num_experts_per_tok=1), 65,
                         {GGUF: {}, "gguf-legacy": dict(legacy=True), "gguf-bf16": {}, "gguf-f16": {},
                          FOLDER: dict(split=True)}),
    # Layer kinds that no interval expresses, experts in every second layer, all experts chosen, as many KV as query heads.
    "qwen3next-mixed": (dict(num_hidden_layers=4, linear_num_key_heads=1, linear_num_value_heads=4, num_key_value_heads=4,
                             layer_types=["full_attention", "linear_attention", "linear_attention", "full_attention"],
                             decoder_sparse_step=2, num_experts_per_tok=4), 65,
                        {GGUF: {}, FOLDER: {}, "folder-fp8": dict(single_experts=True)}),
    # Head sizes of the real models: attention 256 of which 64 are rotated, DeltaNet 128 by 128.
    "qwen3next-wide": (dict(num_hidden_layers=2, hidden_size=16, num_attention_heads=2, num_key_value_heads=1, head_dim=256,
                            linear_num_key_heads=1, linear_num_value_heads=2, linear_key_head_dim=128,
                            linear_value_head_dim=128, rope_parameters=QWEN_ROPE), 130, {GGUF: {}}),
    # Rows of whole blocks of 32, so that every matrix can be quantized; all experts chosen, so that rounding flips none.
    "qwen3next-blocks": (dict(num_hidden_layers=2, hidden_size=32, moe_intermediate_size=32, shared_expert_intermediate_size=32,
                              num_experts_per_tok=4), 65, {"gguf-q8_0": {}}),
    # YaRN, with positions beyond the original 32.
    "qwen3next-yarn": (dict(num_hidden_layers=2, head_dim=32,
                            rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
                                             "factor": 4.0, "original_max_position_embeddings": 32}), 130,
                       {GGUF: {}, FOLDER: {}}),
    # Two equal rows in every router: the lower expert is chosen first.
    "qwen3next-ties": (dict(num_hidden_layers=2), 65, {GGUF: {}, FOLDER: {}}),
    # The gate of the shared expert is wide open or shut.
    "qwen3next-saturated": (dict(num_hidden_layers=2), 65, {FOLDER: {}}),
    # Eight query heads for one KV head, output tied.
    "qwen3-gqa8": (dict(tie_word_embeddings=True), 65, {GGUF: {}, FOLDER: dict(shards=2)}),
    # Dense and sparse layers by both rules.
    "qwen3moe-mixed": (dict(num_hidden_layers=4, decoder_sparse_step=2, mlp_only_layers=[3]), 65,
                       {GGUF: {}, FOLDER: dict(single_experts=True)}),
    "qwen3moe-plain": (dict(num_hidden_layers=2, norm_topk_prob=False), 65, {GGUF: {}}),
    # Split projections, names of a multimodal checkpoint; in GGUF value heads tiled over the key heads and a layer for
    # multi-token prediction.
    "qwen35-ratio3": (dict(num_hidden_layers=3, linear_num_key_heads=2, linear_num_value_heads=6, linear_value_head_dim=12), 65,
                      {GGUF: dict(mtp=True), FOLDER: dict(mtp=True, multimodal=True), "folder-bf16": dict(multimodal=True),
                       "folder-f16": {}}),
    # Sixteen query heads for one KV head; experts fused.
    "qwen35moe-gqa16": (dict(num_hidden_layers=4, full_attention_interval=4, num_attention_heads=16, num_key_value_heads=1,
                             head_dim=8, rope_parameters=dict(QWEN_ROPE, partial_rotary_factor=0.5)), 130,
                        {GGUF: dict(mtp=True), FOLDER: dict(mtp=True, multimodal=True)}),
    # YaRN with everything that can be stated; none of it reaches GGUF whole.
    "qwen35-yarn": (dict(num_hidden_layers=2, head_dim=32,
                         rope_parameters={"rope_type": "yarn", "rope_theta": 1e7, "partial_rotary_factor": 0.5, "factor": 3.0,
                                          "original_max_position_embeddings": 64, "beta_fast": 8.0, "beta_slow": 2.0,
                                          "attention_factor": 1.25, "truncate": False, "mrope_section": [3, 3, 2],
                                          "mrope_interleaved": True}), 130, {FOLDER: {}}),
    "llama-gqa": (dict(), 130, {GGUF: {}, FOLDER: {}}),
    # Llama 3: divisors of the frequencies in a tensor; heads whose size is not H / heads.
    "llama3-tied": (dict(num_key_value_heads=1, head_dim=12, tie_word_embeddings=True,
                         rope_parameters={"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
                                          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}), 130,
                    {GGUF: {}, FOLDER: {}}),
}


class Float64Torch:
    """`torch` as a modeling module sees it, with float64 in the place of float32: the model code asks for float32 in
    norms, rotary angles, softmaxes and the recurrence even when the weights are float64."""
    float = float32 = torch.float64

    @staticmethod
    def topk(values, k, dim=-1):
        """Of equal values the first; torch leaves their order open."""
        order = values.argsort(dim=dim, descending=True, stable=True).narrow(dim, 0, k)
        return values.gather(dim, order), order

    def __getattr__(self, name):
        return getattr(torch, name)


@contextlib.contextmanager
def computing_in_float64():
    modules = [modeling_llama, modeling_qwen3, modeling_qwen3_moe, modeling_qwen3_next, modeling_qwen3_5, modeling_qwen3_5_moe,
               modeling_rope_utils]
    narrow = torch.Tensor.float
    for module in modules:
        module.torch = Float64Torch()
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        for module in modules:
            module.torch = torch
        torch.Tensor.float = narrow
        torch.set_default_dtype(torch.float32)


def byte_alphabet():
    """GPT-2's printable characters for the 256 bytes, in the order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def write_tokenizer(folder):
    vocabulary = {token: index for index, token in enumerate(byte_alphabet() + [merge.replace(" ", "") for merge in MERGES])}
    added = [{"id": len(vocabulary) + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, token in enumerate(SPECIAL)]
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
                  "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": MERGES},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def tie_routers(model):
    """Makes the second and the fourth expert equally likely for every token."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mlp.gate.weight"):
                parameter[3] = parameter[1]


def fill_weights(model, generator, centred):
    """Random weights under which every part of the network matters."""
    def normal(parameter, std, mean=0.0):
        parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * std + mean)

    for name, parameter in model.named_parameters():
        if name.endswith("A_log"):
            low, high = np.log(0.001), np.log(16.0)
            parameter.copy_(low + (high - low) * torch.rand(parameter.shape, generator=generator, dtype=torch.float64))
        elif name.endswith("dt_bias"):
            normal(parameter, 1.0, -1.0)
        elif name.endswith("linear_attn.norm.weight"):
            normal(parameter, 0.3, 1.0)
        elif name.endswith("norm.weight"):
            normal(parameter, 0.3, 0.0 if centred else 1.0)
        elif name.endswith("conv1d.weight"):
            normal(parameter, 0.6)
        elif name.endswith("embed_tokens.weight"):
            normal(parameter, 1.0)
        elif name.endswith("mlp.gate.weight"):
            normal(parameter, 2.0 / parameter.shape[-1] ** 0.5)
        else:
            normal(parameter, 1.0 / parameter.shape[-1] ** 0.5)
        parameter.copy_(parameter.to(torch.float32))  # the files hold float32


def logits_of(model, tokens):
    with torch.no_grad():
        return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]


def smallest_router_gap(model, tokens):
    """Between the last expert that is chosen and the first that is not, as a difference of probabilities; exact ties, which
    have an order of their own, aside."""
    gaps = [1.0]

    def record(module, inputs, output):
        probabilities = torch.softmax(output[0], -1).sort(-1, descending=True).values
        if module.top_k < module.num_experts:
            gap = probabilities[:, module.top_k - 1] - probabilities[:, module.top_k]
            gaps.extend(gap[gap > 0].tolist())

    handles = [module.register_forward_hook(record) for module in model.modules() if type(module).__name__.endswith("TopKRouter")]
    logits_of(model, tokens)
    for handle in handles:
        handle.remove()
    return min(gaps)


def sensitivity(model, tokens, tied):
    """The largest change of a logit when every weight is off by about a unit in the last place of float32."""
    reference, largest = logits_of(model, tokens), 0.0
    generator = torch.Generator().manual_seed(1)
    for _ in range(6):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(1 + 6e-8 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        if tied:
            tie_routers(other)
        largest = max(largest, (logits_of(other, tokens) - reference).abs().max().item())
    return largest


def build(name, seed):
    """The model in float64 with weights that float32 can hold, and a sequence of tokens for it."""
    family = next(prefix for prefix in FAMILIES if name.startswith(prefix))
    model_class, config_class, settings = FAMILIES[family]
    config = config_class(**{**copy.deepcopy(settings), **copy.deepcopy(MODELS[name][0])})
    config._experts_implementation = "eager"
    config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(seed)
    model = model_class(config).double().eval()
    centred = family.startswith(CENTRED)
    with torch.no_grad():
        fill_weights(model, generator, centred)
        if name.endswith("-ties"):
            tie_routers(model)
        if name.endswith("-saturated"):
            for part, parameter in model.named_parameters():
                if "shared_expert_gate" in part:
                    parameter.mul_(50)
        tokens = torch.randint(0, 256 + len(MERGES) + len(SPECIAL), (TOKENS,), generator=generator).tolist()
        factor = 1.0 / logits_of(model, tokens[:130]).std()
        norm = model.model.norm.weight  # scaling the last norm scales the logits, tied or not
        norm.copy_(((norm + 1) * factor - 1 if centred else norm * factor).to(torch.float32))
    return model, tokens


def round_matrices(model, kind):
    """What a GGUF file of this type keeps of the weights: matrices rounded, small tensors and routers whole."""
    def kept(matrix):
        if kind == "q8_0":
            blocks = gguf.quants.quantize(matrix.float().numpy(), gguf.GGMLQuantizationType.Q8_0)
            return torch.from_numpy(gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0)).double()
        return matrix.to({"bf16": torch.bfloat16, "f16": torch.float16}[kind]).double()

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            whole = ("norm", "A_log", "dt_bias", "conv1d", "mlp.gate.")
            if parameter.dim() >= 2 and parameter.shape[-1] > 1 and not any(part in name for part in whole):
                parameter.copy_(kept(parameter))


def round_all(model, kind):
    """What a folder of this kind keeps: everything is rounded."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(write_checkpoint.rounded(name, parameter, kind))


def write_files(name, file, options, model, output):
    """One file or folder of the model; its name."""
    form, _, variant = file.partition("-")
    full = f"{name}-{variant}" if variant else name
    options = dict(options)
    if form == FOLDER:
        write_checkpoint.write_folder(model, output / full, variant or "f32", **options)
        write_tokenizer(output / full)
        return full
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        legacy = options.pop("legacy", False)
        write_checkpoint.write_folder(model, folder, **options)
        write_tokenizer(folder)
        convert_to_gguf.convert(folder, output / f"{full}.gguf", "f32" if legacy or not variant else variant, name=full, legacy=legacy)
    return full


def make(name, output):
    _, length, files = MODELS[name]
    tied = name.endswith("-ties")
    # float32 must not choose other experts than float64, and the network must not magnify its rounding.
    for seed in range(200):
        with computing_in_float64():
            model, tokens = build(name, seed)
            gap = smallest_router_gap(model, tokens[:max(length, 130)])
            if gap <= 5e-5 or sensitivity(model, tokens[:length], tied) > 5e-5:
                continue
            logits = logits_of(model, tokens[:length]).numpy()
        if tied:  # torch's own order of equal experts is another one
            difference = np.zeros(1)
            break
        difference = np.abs(logits_of(copy.deepcopy(model).float(), tokens[:length]).double().numpy() - logits)
        if difference.max() < 5e-5:
            break
    else:
        raise SystemExit(f"{name}: no seed gives a model that float32 can compute")
    if GGUF in files or FOLDER in files:
        np.save(output / f"{name}.{length}.npy", logits.astype(np.float32))
        (output / f"{name}.tokens.txt").write_text(" ".join(map(str, tokens[:max(length, 130)])) + "\n", encoding="ascii")
    for file, options in files.items():
        full = write_files(name, file, options, model, output)
        form, _, kind = file.partition("-")
        if kind not in ("bf16", "f16", "fp8", "q8_0"):
            continue
        with computing_in_float64():
            other, _ = build(name, seed)
            (round_all if form == FOLDER else round_matrices)(other, kind)
            np.save(output / f"{full}.{length}.npy", logits_of(other, tokens[:length]).numpy().astype(np.float32))
        (output / f"{full}.tokens.txt").write_text(" ".join(map(str, tokens[:max(length, 130)])) + "\n", encoding="ascii")
    print(f"{name}: seed {seed}, router gap {gap:.1e}, logits std {logits.std():.2f}, transformers in float32 is within "
          f"{difference.max():.1e} (mean {difference.mean():.1e})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
    parser.add_argument("--output", type=pathlib.Path, default=default, help="folder (default tests/data/models)")
    parser.add_argument("names", nargs="*", help="models to make (default all): " + ", ".join(MODELS))
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or MODELS:
        make(name, arguments.output)


if __name__ == "__main__":
    main()
