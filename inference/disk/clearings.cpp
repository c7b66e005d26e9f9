#include "inference/disk/clearings.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lectern::inference {

std::uint64_t document_hash(std::string_view id) {
  return XXH3_64bits(id.data(), id.size());
}

bool Clearings::reaches(std::string_view id) const {
  if (everything) return true;
  const auto went = [&](std::string_view document) {
    return std::find(documents.begin(), documents.end(), document_hash(document)) != documents.end();
  };
  return !id.empty() && !documents.empty() && (went(id) || went(id.substr(0, id.find('#'))));
}

}  // namespace lectern::inference
