// The identity of a document: XXH3-128 of its bytes.
#pragma once

#include <string>
#include <string_view>

namespace lectern::documents {

/// 32 hexadecimal digits.
std::string fingerprint_bytes(std::string_view bytes);
/// Reads the file of an open descriptor from its beginning; `subject` names it in errors. Throws Error.
std::string fingerprint_descriptor(int descriptor, const std::string& subject);
/// Throws Error if the file is missing or unreadable.
std::string fingerprint_file(const std::string& path);

}  // namespace lectern::documents
