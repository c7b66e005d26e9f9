// What every kind of document can do for the reader program, and the choice of the right one. Runs inside
// lectern-reader only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "documents/document.h"
#include "documents/error.h"
#include "documents/reader_client.h"

namespace lectern::documents {

/// An open document. Messages of its errors leave the subject out: the program puts the path before them.
class Reader {
 public:
  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  virtual ~Reader() = default;

  /// Fingerprint left empty.
  virtual DocumentInfo info() const = 0;
  virtual Page page(int number) = 0;
  virtual Picture render(int number, double dpi) = 0;
  virtual std::vector<OutlineItem> outline() = 0;
  virtual std::int64_t problems() const = 0;
};

/// Chooses by content first (a PDF is a PDF under any name), then by name. `bytes` must outlive the reader. Throws
/// Error.
std::unique_ptr<Reader> open_reader(std::string_view bytes, const std::string& name, const std::string& password);

/// A PDF's magic within the first kilobyte, as viewers accept it.
bool looks_like_pdf(std::string_view bytes);

}  // namespace lectern::documents
