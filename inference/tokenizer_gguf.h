// Reads the tokenizer of a GGUF file.
#pragma once

#include "inference/gguf_file.h"
#include "inference/tokenizer.h"

namespace lectern::inference {

/// The keys tokenizer.ggml.* and tokenizer.chat_template. Throws Error{bad_file} that names the file and the key when
/// one is missing or of another type.
ModelTokenizer read_tokenizer_gguf(const GgufFile& file);

}  // namespace lectern::inference
