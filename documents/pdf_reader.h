// PDF by poppler (text, geometry, pictures) and qpdf (outline, images). Runs inside lectern-reader only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "documents/reader.h"

namespace lectern::documents {

/// `bytes` must outlive the reader. Throws Error: encrypted (no password or a wrong one), damaged.
std::unique_ptr<Reader> open_pdf(std::string_view bytes, const std::string& password);

}  // namespace lectern::documents
