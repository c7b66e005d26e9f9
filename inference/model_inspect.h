// What `model inspect FILE` prints.
#pragma once

#include <string>

#include "inference/gguf_file.h"
#include "inference/model_source.h"

namespace lectern::inference {

/// Metadata and tensors for people, one a line; long arrays and texts are cut. Also says what this build makes of the
/// files: the configuration and its memory, or why it cannot run them.
std::string inspect_text(const ModelSource& source);
std::string inspect_text(const GgufFile& file);
/// The same as one JSON object: {file, format, size_bytes, version of GGUF, metadata: {...}, tensors: [...], config |
/// error}. The metadata of a Hugging Face folder is its config.json.
std::string inspect_json(const ModelSource& source);
std::string inspect_json(const GgufFile& file);

}  // namespace lectern::inference
