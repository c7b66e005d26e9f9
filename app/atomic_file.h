// Writing a whole file so that a crash leaves either the old content or the new one.
#pragma once

#include <string>
#include <string_view>

namespace lectern::app {

/// Throws lectern::Error (io) with the path and what to do.
void write_atomically(const std::string& path, std::string_view content);

}  // namespace lectern::app
