// The ids of special tokens are hints: files exist in which one lies outside the vocabulary, and those are left out.
#include "inference/tokenizer_gguf.h"

#include <cstdint>
#include <limits>

#include "kernels/error.h"

namespace lectern::inference {

ModelTokenizer read_tokenizer_gguf(const GgufFile& file) {
  ModelTokenizer result;
  TokenizerData& data = result.data;
  data.model = file.required_text("tokenizer.ggml.model");
  data.pre = file.text("tokenizer.ggml.pre").value_or("");

  const auto tokens = file.texts("tokenizer.ggml.tokens");
  if (!tokens) throw Error(ErrorKind::bad_file, file.name() + ": has no tokenizer.ggml.tokens; fetch the file again");
  data.tokens.assign(tokens->begin(), tokens->end());
  if (const auto types = file.integers("tokenizer.ggml.token_type"))
    for (const std::int64_t type : *types)
      data.token_types.push_back(type >= 1 && type <= 6 ? static_cast<std::int32_t>(type) : 1);
  if (const auto merges = file.texts("tokenizer.ggml.merges")) data.merges.assign(merges->begin(), merges->end());

  const auto id = [&](const char* key) -> std::optional<TokenId> {
    const auto value = file.integer(key);
    if (!value || *value < 0 || *value >= static_cast<std::int64_t>(data.tokens.size())) return std::nullopt;
    return static_cast<TokenId>(*value);
  };
  data.bos = id("tokenizer.ggml.bos_token_id");
  data.eos = id("tokenizer.ggml.eos_token_id");
  data.eot = id("tokenizer.ggml.eot_token_id");
  data.pad = id("tokenizer.ggml.padding_token_id");
  data.unk = id("tokenizer.ggml.unknown_token_id");
  data.add_bos = data.bos && file.boolean("tokenizer.ggml.add_bos_token").value_or(false);

  const auto text_of = [&](const std::optional<TokenId>& token) {
    return token ? data.tokens[static_cast<std::size_t>(*token)] : std::string();
  };
  result.bos_token = text_of(data.bos);
  result.eos_token = text_of(data.eos);
  result.chat_template = file.text("tokenizer.chat_template").value_or("");
  return result;
}

}  // namespace lectern::inference
