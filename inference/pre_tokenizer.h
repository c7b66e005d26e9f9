// Cuts text into the pieces within which byte pairs are merged.
#pragma once

#include <cstdint>
#include <string_view>

namespace lectern::inference {

/// The splitting rules, named as `tokenizer.ggml.pre` of GGUF files names them.
enum class PreTokenizer { qwen2, qwen35, smollm, gpt_2, llama_bpe };

/// "qwen2", "qwen35", "smollm", "gpt-2", "llama-bpe" and the aliases in use. Throws Error{unsupported} for others.
PreTokenizer pre_tokenizer_named(std::string_view name);

/// Whether the tokenizers with these rules normalise to NFC first (qwen2, qwen35).
bool normalises(PreTokenizer rules);
/// Whether a piece that is a token by itself stays whole (llama-bpe).
bool ignores_merges(PreTokenizer rules);

/// The end of the piece that begins at byte `begin` of `text`, as the first alternative of the rules' regular
/// expression matches. `text` is valid UTF-8 and `begin` < its size; the result is > `begin`.
std::int64_t piece_end(PreTokenizer rules, std::string_view text, std::int64_t begin);

}  // namespace lectern::inference
