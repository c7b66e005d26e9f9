// The file of one extent: a header that says everything, the rows layer by layer, the state last.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inference/delta_snapshots.h"
#include "inference/disk/extent.h"
#include "inference/disk/file_system.h"
#include "inference/disk/reading_log.h"
#include "inference/kv_pages.h"
#include "inference/types.h"

namespace lectern::inference {

/// Sizes of what is kept for one model.
struct KeptShape {
  std::int64_t layers = 0;  // with keys and values
  kernels::KvShape kv;
  DeltaShape delta;
};
bool same(const KeptShape& a, const KeptShape& b);

inline constexpr std::uint32_t extent_format = 1;

/// A run of bytes with a checksum of its own. It begins at a multiple of file_block and is filled up to one with zeros,
/// which the checksum covers.
struct Strip {
  std::int64_t offset = 0;
  std::int64_t bytes = 0;  // without the filling
  ChainKey checksum;       // XXH3-128
  std::int64_t padded_bytes() const { return (bytes + file_block - 1) / file_block * file_block; }
};

/// Where everything is. `strips`: first layer by layer, in it page by page, the rows of that page that belong to the
/// extent, [K|V][head][row][dim] (a whole page's strip is the page's memory of that layer, byte for byte); then the
/// state: layer by layer S [Hv, Dk, Dv] f32 and the convolution rows [K-1, C] f32; then the hidden row [H] f32, whether
/// there is one and its kind of row.
struct ExtentLayout {
  ExtentLayout(const KeptShape& shape, std::int64_t begin, std::int64_t end, std::int64_t header_bytes);
  std::int64_t pages = 0;       // that the extent touches
  std::int64_t first_page = 0;  // begin / 256
  std::vector<Strip> strips;
  std::int64_t header_bytes = 0;
  std::int64_t row_bytes = 0;   // up to the state: the length of the file when its state was thinned
  std::int64_t file_bytes = 0;  // with the state
  std::size_t rows_strip(std::int64_t layer, std::int64_t page) const {
    return static_cast<std::size_t>(layer * pages + page - first_page);
  }
  std::size_t delta_strip(std::int64_t layer) const { return static_cast<std::size_t>(kv_layers * pages + layer); }
  std::size_t hidden_strip() const { return strips.size() - 1; }
  std::int64_t kv_layers = 0;
};

/// Everything that the header says: enough to make the index again.
struct ExtentHeader {
  ReadingIdentity identity;
  ChainKey root;
  Extent extent;
  KeptShape shape;
  std::vector<TokenId> tokens;  // [end - begin]
  std::int64_t saved_s = 0;
};

/// Bytes of a header, in whole blocks.
std::int64_t header_bytes_of(const ExtentHeader& header);

/// An extent's file in memory: copied by one thread, sealed and written by another.
class ExtentImage {
 public:
  /// Copies the rows of `pages`, those of slots [0, end), and the state. Throws std::bad_alloc.
  ExtentImage(ExtentHeader header, std::span<const PageRef> pages, const DeltaSnapshot& state);
  const ExtentHeader& header() const { return header_; }
  const ExtentLayout& layout() const { return layout_; }
  std::int64_t bytes() const { return buffer_.bytes(); }
  /// Computes the checksums and writes the header into its place.
  void seal();
  /// Rows and state first, the header last. Throws FileError.
  void write(OpenFile& file) const;
  std::span<const std::byte> content() const { return buffer_.span(); }

 private:
  ExtentHeader header_;
  ExtentLayout layout_;
  AlignedBuffer buffer_;
};

/// What reading a header gave.
struct ReadHeader {
  enum class Result {
    sound,
    damaged,        // not a header, or its checksum does not hold
    other_version,  // of a format that this build does not know
  };
  Result result = Result::damaged;
  ExtentHeader header;
  std::optional<ExtentLayout> layout;  // with the checksums; set if sound
};
/// Throws FileError.
ReadHeader read_extent_header(OpenFile& file);

/// XXH3-128 of what was read for a strip, filling included.
ChainKey checksum(std::span<const std::byte> bytes);

/// Rows [first, last) of a strip of rows [strip_first, strip_last) into one layer's memory of their page; all are rows
/// of the page.
void place_rows(const kernels::KvShape& shape, std::span<const std::byte> strip, std::int64_t strip_first,
                std::int64_t strip_last, std::int64_t first, std::int64_t last, std::byte* page);
/// False if a value is not finite.
bool place_delta(std::span<const std::byte> strip, std::int64_t layer, DeltaSnapshot& snapshot);
bool place_hidden(std::span<const std::byte> strip, std::int64_t position, DeltaSnapshot& snapshot);

/// ExtentPart lists as bytes, for the header and the index. Nothing if the bytes are not such a list.
std::string pack_parts(std::span<const ExtentPart> parts);
std::optional<std::vector<ExtentPart>> unpack_parts(std::string_view bytes);

}  // namespace lectern::inference
