// The JSON of `lectern-cli extract --json`.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "documents/document.h"

namespace lectern::documents {

/// {document, fingerprint, kind, pages: [{page, width_pt, height_pt, text, anchor, lines, words: [{text, start, end,
/// box}]}], outline, tables, coverage}: offsets in code points, boxes [x0, y0, x1, y1] in points from the top left.
nlohmann::json to_json(const Document& document);

}  // namespace lectern::documents
