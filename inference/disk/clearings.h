// What was cleared, as far as those must know who have it in memory or on its way to the disk.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lectern::inference {

/// Documents by hash: their names must not outlive them on the disk.
struct Clearings {
  bool everything = false;
  std::vector<std::uint64_t> documents;  // document_hash
  bool empty() const { return !everything && documents.empty(); }
  /// Whether the segment of this id went: its document did, or it is passages ("ID#…") of one that did.
  bool reaches(std::string_view id) const;
};

std::uint64_t document_hash(std::string_view id);

}  // namespace lectern::inference
