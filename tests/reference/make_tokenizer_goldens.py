"""Makes small byte-level BPE tokenizers, one for each splitting rule, and the ids of tricky texts with them.

usage: make_tokenizer_goldens.py OUTPUT_FOLDER                          trains small vocabularies and writes their goldens
       make_tokenizer_goldens.py --json TOKENIZER.json OUTPUT.json      the ids with a given tokenizer.json (.gz too)
       make_tokenizer_goldens.py --gguf MODEL.gguf OUTPUT.json          the ids with the vocabulary of a GGUF file (smollm rules)
"""
import gzip
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = QWEN2.replace(r"\p{L}+|", r"[\p{L}\p{M}]+|").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
LLAMA = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def split(expression):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


RULES = {
    "qwen2": (normalizers.NFC(), split(QWEN2)),
    "qwen35": (normalizers.NFC(), split(QWEN35)),
    "llama-bpe": (None, split(LLAMA)),
    "gpt-2": (None, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)),
    "smollm": (
        None,
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]),
    ),
}
ADDED = [
    ("<|endoftext|>", True),
    ("<|im_start|>", True),
    ("<|im_end|>", True),
    ("<|im_end|>\n", False),
    ("<think>", False),
    ("</think>", False),
]

TRAINING = """
The tenant shall pay the rent on the first day of each month. If the tenant doesn't pay, the landlord may end this agreement
with a notice of thirty days; the notice isn't valid unless it's in writing. We'll keep what you've read, and they're sure
that I'd say so: I'm certain. In 2024 the price was 1,250.75 euros, in 2025 it'll be 1,300.00 euros (4 % more).
Der Mieter zahlt die Miete am Anfang jedes Monats; größere Beträge sind über das Konto zu überweisen. C'est l'été, voilà.
договор аренды заключается на один год. 契約は一年間有効です。日本語の文章。本合同自签署之日起生效。
def read(path):\n    with open(path) as file:\n        for line in file:\n            if line.strip():\n                yield line.rstrip()\n
int main(int argc, char** argv) {\n\tfor (int i = 0; i < argc; ++i) {\n\t\tprintf("%s\\n", argv[i]);\n\t}\n\treturn 0;\n}\n
    indented by four        by eight                by sixteen
"""

WHITE_SPACE = "".join(chr(c) for c in [9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "\r\n\r\n",
    "\t\t\t",
    "   \n  \n ",
    "a" * 300,
    "aé中" * 60,
    " " * 500 + "x",
    "\n" * 100,
    "\t" * 70 + "\n" + " " * 70,
    WHITE_SPACE,
    WHITE_SPACE[::-1],
    "".join(c + "x" for c in WHITE_SPACE),
    "".join(c + c + "7" for c in WHITE_SPACE),
    "The tenant's rent, we'll pay; they've said I'M sure.",
    "IT'S ISN'T WE'LL I'D YOU'VE THEY'RE 'S 't 'Re 'lL ''s 'x 'l 'r 'v ' 's's",
    "she'\u017f \u017fhe'\u017f\u017f 'L\u017f",
    "1234567890 3.14159 1,000,000 ٣٤٥ ½ ² Ⅷ x2y3 12ab34 1 2  3",
    "line one\r\nline two\r\n\r\n  line three\n\n\n\tline four",
    "if (x) {\n    return a[i++] != b;  // ok\n}\n",
    "def f(self):\n        return self.x\n\n\n    # end  \n",
    "https://example.org/a?b=c&d=%20#e --flag=value -- ... !!! ?!",
    "日本語の文章。契約は一年間有効です。本合同自签署之日起生效。 한국어 문장",
    "हिन्दी में नमस्ते ไทย தமிழ் עִבְרִית العَرَبِيَّة",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 ❤️ \U0001f9d1\u200d\U0001f680",
    "café cafe\u0301 e\u0323\u0301 e\u0301\u0323 \u1e69 s\u0323\u0307 s\u0307\u0323",
    "\u0301 \u0301\u0302 a\u0301\u0301\u0301 \u0301x x\u0301y 1\u0301 .\u0301",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \u212b \u2126 \ufb01 \u0344 \u2adc \u0f73",
    "\ufeffbom \u200bzero\u200d \x00\x01\x7f \ufffd \ue000 \U0010fffd",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<|im_end|><|im_end|>\n\n<|im_end|> <|endoftext|>x<|im_end <|im_start||> <THINK></think>",
    "a<think>b</think>c e\u0301<think>\u0301 '<|im_end|>s",
    "größere Beträge überweisen; C'est l'été, voilà — «договор» …",
    "x" * 47 + " " + "y" * 48 + " " + "z" * 49 + " " + "the tenant " * 20,
]


def build(rule):
    normalizer, pre_tokenizer = RULES[rule]
    tokenizer = Tokenizer(models.BPE(ignore_merges=rule == "llama-bpe"))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=256 + 500, min_frequency=1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([TRAINING], trainer)
    tokenizer.add_tokens([AddedToken(text, special=special, normalized=False) for text, special in ADDED])
    return json.loads(tokenizer.to_str())


def goldens(tokenizer_json):
    """Ids as plain text, with the added tokens taken out, and with them."""
    with_added = Tokenizer.from_str(json.dumps(tokenizer_json))
    without = Tokenizer.from_str(json.dumps({**tokenizer_json, "added_tokens": []}))
    return [
        {
            "text": text,
            "plain": without.encode(text, add_special_tokens=False).ids,
            "recognised": with_added.encode(text, add_special_tokens=False).ids,
        }
        for text in TEXTS
    ]


def of_gguf(path):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    tokens, types, merges = (fields["tokenizer.ggml." + name].contents() for name in ("tokens", "token_type", "merges"))
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = RULES["smollm"][1]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, types) if kind == 3])
    return json.loads(tokenizer.to_str())


def write(path, value):
    # One line a text keeps the file readable in a diff.
    with open(path, "w", encoding="utf-8") as file:
        if isinstance(value, list):
            file.write("[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]\n")
        else:
            json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
            file.write("\n")


def main():
    if sys.argv[1] == "--json":
        data = pathlib.Path(sys.argv[2]).read_bytes()
        write(sys.argv[3], goldens(json.loads(gzip.decompress(data) if sys.argv[2].endswith(".gz") else data)))
    elif sys.argv[1] == "--gguf":
        write(sys.argv[3], goldens(of_gguf(sys.argv[2])))
    else:
        folder = pathlib.Path(sys.argv[1])
        for rule in RULES:
            tokenizer = build(rule)
            (folder / rule).mkdir(parents=True, exist_ok=True)
            write(folder / rule / "tokenizer.json", tokenizer)
            write(folder / rule / "goldens.json", goldens(tokenizer))


main()
