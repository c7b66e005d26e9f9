// Plain text, Markdown and code in any encoding. Runs inside lectern-reader only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "documents/reader.h"

namespace lectern::documents {

struct DecodedText {
  std::string text;                      // valid UTF-8, lines ended by '\n'
  std::string encoding;                  // iconv's name
  std::int64_t replaced_characters = 0;  // became U+FFFD
};

/// By byte order mark, else UTF-8 if it is valid, else as uchardet thinks. Throws Error{unsupported} for binary data.
DecodedText decode_text(std::string_view bytes);

/// Pages are blocks of at most 120 lines (a form feed ends one, too). `kind` is kept. `bytes` are not needed
/// afterwards.
std::unique_ptr<Reader> open_text(std::string_view bytes, DocumentKind kind);

}  // namespace lectern::documents
