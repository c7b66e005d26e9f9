// What poppler-cpp does not tell about a PDF: where the outline points, and which pages hold images. Runs inside
// lectern-reader only.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "documents/document.h"

namespace lectern::documents {

/// Opened by qpdf at the first question. A file that qpdf cannot read has no outline and no images; nothing is thrown.
class PdfStructure {
 public:
  /// `bytes` must outlive it.
  PdfStructure(std::string_view bytes, std::string password);
  PdfStructure(const PdfStructure&) = delete;
  PdfStructure& operator=(const PdfStructure&) = delete;
  ~PdfStructure();

  std::vector<OutlineItem> outline();
  bool has_image(int page);

 private:
  struct State;
  State* open();
  std::string_view bytes_;
  std::string password_;
  bool tried_ = false;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::documents
