// A vocabulary for random models: every text can be written in it, little is learned by it.
#pragma once

#include <cstdint>
#include <string>

#include "inference/tokenizer.h"

namespace lectern::inference {

/// 256 bytes, a few merges, the tokens of ChatML, tools and thinking, with a ChatML template. Fewer than 320 tokens.
ModelTokenizer small_tokenizer(const std::string& pre);

/// Unused tokens "[PAD17]" up to `vocabulary`, as llama.cpp's converter names them. Throws Error{bad_request} naming
/// `source` if it has more tokens than that already.
void pad_tokenizer(ModelTokenizer& tokenizer, std::int64_t vocabulary, const std::string& source);

}  // namespace lectern::inference
