// What `model inspect FILE` prints.
#pragma once

#include <string>

#include "inference/gguf_file.h"

namespace lectern::inference {

/// Metadata and tensors for people, one a line; long arrays and texts are cut. Also says what this build makes of the
/// file: the configuration and its memory, or why it cannot run it.
std::string inspect_text(const GgufFile& file);
/// The same as one JSON object: {file, size_bytes, version, metadata: {...}, tensors: [...], config | error}.
std::string inspect_json(const GgufFile& file);

}  // namespace lectern::inference
