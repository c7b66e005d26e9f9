// Reads the tokenizer of a Hugging Face model folder.
#pragma once

#include <filesystem>

#include "inference/tokenizer.h"

namespace lectern::inference {

/// `path` is a tokenizer.json or a folder that holds one; beside it tokenizer_config.json, generation_config.json,
/// chat_template.jinja (or .json) and, of a folder, config.json are read when they exist. Byte-level BPE only. Throws
/// Error{io} when nothing can be read, Error{bad_file} for broken JSON, Error{unsupported} for another kind of
/// tokenizer.
ModelTokenizer read_tokenizer_json(const std::filesystem::path& path);

}  // namespace lectern::inference
