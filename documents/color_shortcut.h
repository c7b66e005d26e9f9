// Leaves colour management out while poppler reads text. Runs inside lectern-reader only.
#pragma once

namespace lectern::documents {

/// Colours are right while one of these lives.
class ColorsWanted {
 public:
  ColorsWanted();
  ColorsWanted(const ColorsWanted&) = delete;
  ColorsWanted& operator=(const ColorsWanted&) = delete;
  ~ColorsWanted();
};

}  // namespace lectern::documents
