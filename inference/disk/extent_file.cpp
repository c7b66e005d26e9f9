// One immutable file for each extent. The design first had append-only packs, one for a document or a chat; a file for
// each extent makes thinning a truncation and deleting an unlink, nothing is ever moved together, and processes that
// write at once cannot tear each other's files.
//
//   block 0…   magic, version, size of the header, its checksum | identity, keys, positions, parts, shape, token ids,
//              the table of strips
//   then       rows:  layer 0 page a, page a+1, …, layer 1 page a, …     each at a multiple of 4 KiB
//   then       state: DeltaNet layer 0, 1, …, the hidden row
//
// The state stands last, so that a file whose state is not wanted any more is cut (the index says so first). Where the
// strips are follows from shape and positions; the table in the header must say the same and adds the checksums.
// Numbers are little-endian, as on every machine this is built for.
#include "inference/disk/extent_file.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <type_traits>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lectern::inference {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr char magic[8] = {'L', 'E', 'C', 'T', 'E', 'X', 'T', '\n'};
constexpr std::int64_t most_header_bytes = std::int64_t{64} << 20;
constexpr std::int64_t most_position = std::int64_t{1} << 32;
constexpr std::int64_t most_size = std::int64_t{1} << 24;  // of any dimension
constexpr double most_values = 0x1p57;                     // of all rows and states: their bytes must not overflow

struct Prefix {
  char magic[8];
  std::uint32_t version;
  std::uint32_t reserved;
  std::int64_t header_bytes;
  ChainKey checksum;  // over the header's blocks with this field zero
};
static_assert(sizeof(Prefix) == 40);

class Writer {
 public:
  template <class T>
  void value(const T& number) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void text(std::string_view text) {
    value(static_cast<std::int64_t>(text.size()));
    bytes_.append(text);
  }
  void raw(const void* data, std::size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Gives zeros and remembers it once the bytes are at an end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
  T value() {
    T number{};
    raw(&number, sizeof number);
    return number;
  }
  std::int64_t number(std::int64_t least, std::int64_t most) {
    const auto number = value<std::int64_t>();
    if (number < least || number > most) sound_ = false;
    return sound_ ? number : least;
  }
  /// A count of things of at least `bytes_each` bytes, all of which must be there.
  std::int64_t count(std::size_t bytes_each) {
    return number(0, static_cast<std::int64_t>(bytes_.size() / std::max<std::size_t>(bytes_each, 1)));
  }
  std::string text() {
    std::string text(static_cast<std::size_t>(count(1)), '\0');
    raw(text.data(), text.size());
    return text;
  }
  void raw(void* into, std::size_t size) {
    if (size > bytes_.size()) sound_ = false;
    if (!sound_) return;
    if (size > 0) std::memcpy(into, bytes_.data(), size);
    bytes_.remove_prefix(size);
  }
  void refuse() { sound_ = false; }
  bool sound() const { return sound_; }
  bool at_end() const { return sound_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool sound_ = true;
};

std::int64_t padded(std::int64_t bytes) {
  return (bytes + file_block - 1) / file_block * file_block;
}

void write_parts(Writer& out, std::span<const ExtentPart> parts) {
  out.value(static_cast<std::int64_t>(parts.size()));
  for (const ExtentPart& part : parts) {
    out.value(part.start);
    out.value(static_cast<std::uint32_t>(part.rows));
    out.text(part.id);
  }
}

std::vector<ExtentPart> read_parts(Reader& in) {
  std::vector<ExtentPart> parts(static_cast<std::size_t>(in.count(20)));
  for (ExtentPart& part : parts) {
    part.start = in.number(0, most_position);
    const auto rows = in.value<std::uint32_t>();
    if (rows > static_cast<std::uint32_t>(RowKind::decode)) in.refuse();
    part.rows = static_cast<RowKind>(rows);
    part.id = in.text();
  }
  return parts;
}

void write_shape(Writer& out, const KeptShape& shape) {
  const DeltaShape& delta = shape.delta;
  for (std::int64_t size :
       {shape.layers, shape.kv.heads, shape.kv.head_dim, static_cast<std::int64_t>(shape.kv.type), delta.layers,
        delta.value_heads, delta.key_dim, delta.value_dim, delta.conv_rows, delta.conv_channels, delta.hidden})
    out.value(size);
}

KeptShape read_shape(Reader& in) {
  KeptShape shape;
  DeltaShape& delta = shape.delta;
  std::int64_t type = 0;
  for (std::int64_t* size :
       {&shape.layers, &shape.kv.heads, &shape.kv.head_dim, &type, &delta.layers, &delta.value_heads, &delta.key_dim,
        &delta.value_dim, &delta.conv_rows, &delta.conv_channels, &delta.hidden})
    *size = in.number(0, most_size);
  if (type > static_cast<std::int64_t>(kernels::DType::bf16)) in.refuse();  // plain types of known size alone
  shape.kv.type = static_cast<kernels::DType>(in.sound() ? type : 0);
  const auto real = [](std::int64_t size) { return static_cast<double>(size); };
  const double values = real(shape.layers) * real(shape.kv.heads) * real(shape.kv.head_dim) * most_position +
                        real(delta.layers) * (real(delta.value_heads) * real(delta.key_dim) * real(delta.value_dim) +
                                              real(delta.conv_rows) * real(delta.conv_channels));
  if (values > most_values) in.refuse();
  return shape;
}

// Everything behind the prefix but the table of strips, whose size follows from the rest.
std::string pack_body(const ExtentHeader& header) {
  Writer out;
  out.text(header.identity.model);
  out.text(header.identity.settings);
  out.text(header.identity.build);
  out.value(header.root);
  out.value(header.extent.parent);
  out.value(header.extent.key);
  out.value(header.extent.begin);
  out.value(header.extent.end);
  out.value(static_cast<std::uint32_t>(header.extent.place));
  write_parts(out, header.extent.parts);
  write_shape(out, header.shape);
  out.value(header.saved_s);
  out.value(static_cast<std::int64_t>(header.tokens.size()));
  out.raw(header.tokens.data(), header.tokens.size() * sizeof(TokenId));
  return out.take();
}

constexpr std::size_t strip_entry_bytes = 8 + 8 + 16;

ExtentHeader read_body(Reader& in) {
  ExtentHeader header;
  header.identity.model = in.text();
  header.identity.settings = in.text();
  header.identity.build = in.text();
  header.root = in.value<ChainKey>();
  header.extent.parent = in.value<ChainKey>();
  header.extent.key = in.value<ChainKey>();
  header.extent.begin = in.number(0, most_position);
  header.extent.end = in.number(0, most_position);
  const auto place = in.value<std::uint32_t>();
  if (place > static_cast<std::uint32_t>(StatePlace::turn_end)) in.refuse();
  header.extent.place = static_cast<StatePlace>(place);
  header.extent.parts = read_parts(in);
  header.shape = read_shape(in);
  header.saved_s = in.value<std::int64_t>();
  header.tokens.resize(static_cast<std::size_t>(in.count(sizeof(TokenId))));
  in.raw(header.tokens.data(), header.tokens.size() * sizeof(TokenId));
  if (header.extent.begin >= header.extent.end ||
      header.extent.end - header.extent.begin != static_cast<std::int64_t>(header.tokens.size()) ||
      header.root != root_key(header.identity.text()))
    in.refuse();
  return header;
}

struct HiddenTail {
  std::int64_t position;
  std::uint32_t has_hidden;
  std::uint32_t rows;
};

bool all_finite(const float* values, std::size_t count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

std::int64_t strip_count(const KeptShape& shape, std::int64_t pages) {
  return shape.layers * pages + shape.delta.layers + 1;
}

std::int64_t pages_touched(std::int64_t begin, std::int64_t end) {
  return (end + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens - begin / kernels::kv_page_tokens;
}

}  // namespace

bool same(const KeptShape& a, const KeptShape& b) {
  Writer first, second;
  write_shape(first, a);
  write_shape(second, b);
  return first.take() == second.take();
}

ChainKey checksum(std::span<const std::byte> bytes) {
  const XXH128_hash_t digest = XXH3_128bits(bytes.data(), bytes.size());
  return {digest.low64, digest.high64};
}

std::string pack_parts(std::span<const ExtentPart> parts) {
  Writer out;
  write_parts(out, parts);
  return out.take();
}

std::optional<std::vector<ExtentPart>> unpack_parts(std::string_view bytes) {
  Reader in(bytes);
  std::vector<ExtentPart> parts = read_parts(in);
  if (!in.at_end()) return std::nullopt;
  return parts;
}

ExtentLayout::ExtentLayout(const KeptShape& shape, std::int64_t begin, std::int64_t end, std::int64_t header)
    : pages(pages_touched(begin, end)),
      first_page(begin / kernels::kv_page_tokens),
      header_bytes(header),
      kv_layers(shape.layers) {
  std::int64_t offset = header;
  const auto add = [&](std::int64_t bytes) {
    strips.push_back({offset, bytes, {}});
    offset += strips.back().padded_bytes();
  };
  strips.reserve(static_cast<std::size_t>(strip_count(shape, pages)));
  const std::int64_t row = 2 * shape.kv.heads * kernels::row_bytes(shape.kv.type, shape.kv.head_dim);
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    for (std::int64_t page = first_page; page < first_page + pages; ++page) {
      const std::int64_t first = std::max(begin, page * kernels::kv_page_tokens);
      const std::int64_t last = std::min(end, (page + 1) * kernels::kv_page_tokens);
      add((last - first) * row);
    }
  row_bytes = offset;
  const auto float_bytes = static_cast<std::int64_t>(sizeof(float));
  for (std::int64_t layer = 0; layer < shape.delta.layers; ++layer)
    add((shape.delta.recurrent_values() + shape.delta.conv_values()) * float_bytes);
  add(shape.delta.hidden * float_bytes + static_cast<std::int64_t>(sizeof(HiddenTail)));
  file_bytes = offset;
}

std::int64_t header_bytes_of(const ExtentHeader& header) {
  const std::int64_t strips = strip_count(header.shape, pages_touched(header.extent.begin, header.extent.end));
  return padded(static_cast<std::int64_t>(sizeof(Prefix) + pack_body(header).size()) + 8 +
                strips * static_cast<std::int64_t>(strip_entry_bytes));
}

ExtentImage::ExtentImage(ExtentHeader header, std::span<const PageRef> pages, const DeltaSnapshot& state)
    : header_(std::move(header)),
      layout_(header_.shape, header_.extent.begin, header_.extent.end, header_bytes_of(header_)),
      buffer_(layout_.file_bytes) {
  const kernels::KvShape& kv = header_.shape.kv;
  const std::int64_t row = kernels::row_bytes(kv.type, kv.head_dim);
  const auto finish = [&](const Strip& strip) {
    std::memset(buffer_.data() + strip.offset + strip.bytes, 0,
                static_cast<std::size_t>(strip.padded_bytes() - strip.bytes));
  };
  for (std::int64_t layer = 0; layer < layout_.kv_layers; ++layer)
    for (std::int64_t page = layout_.first_page; page < layout_.first_page + layout_.pages; ++page) {
      const std::int64_t page_start = page * kernels::kv_page_tokens;
      const std::int64_t first = std::max(header_.extent.begin, page_start) - page_start;
      const std::int64_t last = std::min(header_.extent.end - page_start, kernels::kv_page_tokens);
      const std::byte* memory = pages[static_cast<std::size_t>(page)].data() + layer * kv.strip_bytes();
      const Strip& strip = layout_.strips[layout_.rows_strip(layer, page)];
      std::byte* to = buffer_.data() + strip.offset;
      if (last - first == kernels::kv_page_tokens) {
        std::memcpy(to, memory, static_cast<std::size_t>(strip.bytes));
      } else {
        const std::int64_t bytes = (last - first) * row;
        for (std::int64_t block = 0; block < 2 * kv.heads; ++block)
          std::memcpy(to + block * bytes, memory + (block * kernels::kv_page_tokens + first) * row,
                      static_cast<std::size_t>(bytes));
      }
      finish(strip);
    }
  auto& live = const_cast<DeltaState&>(state.state);  // its views are not const
  const DeltaShape& delta = header_.shape.delta;
  for (std::int64_t layer = 0; layer < delta.layers; ++layer) {
    const Strip& strip = layout_.strips[layout_.delta_strip(layer)];
    const std::size_t recurrent = static_cast<std::size_t>(delta.recurrent_values()) * sizeof(float);
    std::memcpy(buffer_.data() + strip.offset, live.recurrent(layer).data, recurrent);
    std::memcpy(buffer_.data() + strip.offset + recurrent, live.conv(layer).data,
                static_cast<std::size_t>(delta.conv_values()) * sizeof(float));
    finish(strip);
  }
  const Strip& strip = layout_.strips[layout_.hidden_strip()];
  std::byte* to = buffer_.data() + strip.offset;
  const std::size_t hidden = static_cast<std::size_t>(delta.hidden) * sizeof(float);
  const bool has_hidden = state.hidden.size() * sizeof(float) == hidden;
  if (has_hidden && hidden > 0)
    std::memcpy(to, state.hidden.data(), hidden);
  else
    std::memset(to, 0, hidden);
  const HiddenTail tail{header_.extent.end, has_hidden ? 1U : 0U, static_cast<std::uint32_t>(state.rows)};
  std::memcpy(to + hidden, &tail, sizeof tail);
  finish(strip);
}

void ExtentImage::seal() {
  Writer table;
  table.value(static_cast<std::int64_t>(layout_.strips.size()));
  for (Strip& strip : layout_.strips) {
    strip.checksum = checksum({buffer_.data() + strip.offset, static_cast<std::size_t>(strip.padded_bytes())});
    table.value(strip.offset);
    table.value(strip.bytes);
    table.value(strip.checksum);
  }
  const std::string body = pack_body(header_) + table.take();
  Prefix prefix{};
  std::memcpy(prefix.magic, magic, sizeof magic);
  prefix.version = extent_format;
  prefix.header_bytes = layout_.header_bytes;
  assert(static_cast<std::int64_t>(sizeof prefix + body.size()) <= layout_.header_bytes);
  std::memset(buffer_.data(), 0, static_cast<std::size_t>(layout_.header_bytes));
  std::memcpy(buffer_.data(), &prefix, sizeof prefix);
  std::memcpy(buffer_.data() + sizeof prefix, body.data(), body.size());
  prefix.checksum = checksum({buffer_.data(), static_cast<std::size_t>(layout_.header_bytes)});
  std::memcpy(buffer_.data(), &prefix, sizeof prefix);
}

void ExtentImage::write(OpenFile& file) const {
  constexpr std::int64_t piece = std::int64_t{8} << 20;
  for (std::int64_t offset = layout_.header_bytes; offset < layout_.file_bytes; offset += piece)
    file.write(offset,
               {buffer_.data() + offset, static_cast<std::size_t>(std::min(piece, layout_.file_bytes - offset))});
  file.write(0, {buffer_.data(), static_cast<std::size_t>(layout_.header_bytes)});
}

ReadHeader read_extent_header(OpenFile& file) {
  ReadHeader read;
  AlignedBuffer first(file_block);
  const std::span<std::byte> first_block = first.span();
  file.read(0, {&first_block, 1});
  Prefix prefix{};
  std::memcpy(&prefix, first.data(), sizeof prefix);
  if (std::memcmp(prefix.magic, magic, sizeof magic) != 0 || prefix.header_bytes < file_block ||
      prefix.header_bytes > std::min(most_header_bytes, file.bytes()) || prefix.header_bytes % file_block != 0)
    return read;
  AlignedBuffer all(prefix.header_bytes);
  std::memcpy(all.data(), first.data(), file_block);
  if (prefix.header_bytes > file_block) {
    const std::span<std::byte> rest = all.span().subspan(file_block);
    file.read(file_block, {&rest, 1});
  }
  Prefix unsealed = prefix;
  unsealed.checksum = {};
  std::memcpy(all.data(), &unsealed, sizeof unsealed);
  if (checksum(all.span()) != prefix.checksum) return read;
  if (prefix.version != extent_format) {
    read.result = ReadHeader::Result::other_version;
    return read;
  }
  Reader in({reinterpret_cast<const char*>(all.data()) + sizeof prefix,
             static_cast<std::size_t>(prefix.header_bytes) - sizeof prefix});
  read.header = read_body(in);
  const std::int64_t strips = in.count(strip_entry_bytes);
  if (!in.sound() ||
      strips != strip_count(read.header.shape, pages_touched(read.header.extent.begin, read.header.extent.end)))
    return read;
  ExtentLayout layout(read.header.shape, read.header.extent.begin, read.header.extent.end, prefix.header_bytes);
  for (Strip& strip : layout.strips) {
    const auto offset = in.value<std::int64_t>();
    const auto bytes = in.value<std::int64_t>();
    strip.checksum = in.value<ChainKey>();
    if (offset != strip.offset || bytes != strip.bytes) in.refuse();
  }
  if (!in.sound()) return read;
  read.layout = std::move(layout);
  read.result = ReadHeader::Result::sound;
  return read;
}

void place_rows(const kernels::KvShape& shape, std::span<const std::byte> strip, std::int64_t strip_first,
                std::int64_t strip_last, std::int64_t first, std::int64_t last, std::byte* page) {
  const std::int64_t row = kernels::row_bytes(shape.type, shape.head_dim);
  const std::int64_t rows = strip_last - strip_first;
  for (std::int64_t block = 0; block < 2 * shape.heads; ++block)
    std::memcpy(page + (block * kernels::kv_page_tokens + first) * row,
                strip.data() + (block * rows + first - strip_first) * row,
                static_cast<std::size_t>((last - first) * row));
}

bool place_delta(std::span<const std::byte> strip, std::int64_t layer, DeltaSnapshot& snapshot) {
  const DeltaShape& delta = snapshot.state.shape();
  const auto recurrent = static_cast<std::size_t>(delta.recurrent_values());
  const auto conv = static_cast<std::size_t>(delta.conv_values());
  auto* recurrent_to = snapshot.state.recurrent(layer).data;
  auto* conv_to = snapshot.state.conv(layer).data;
  std::memcpy(recurrent_to, strip.data(), recurrent * sizeof(float));
  std::memcpy(conv_to, strip.data() + recurrent * sizeof(float), conv * sizeof(float));
  return all_finite(reinterpret_cast<const float*>(recurrent_to), recurrent) &&
         all_finite(reinterpret_cast<const float*>(conv_to), conv);
}

bool place_hidden(std::span<const std::byte> strip, std::int64_t position, DeltaSnapshot& snapshot) {
  const auto hidden = static_cast<std::size_t>(snapshot.state.shape().hidden);
  HiddenTail tail{};
  std::memcpy(&tail, strip.data() + hidden * sizeof(float), sizeof tail);
  if (tail.position != position || tail.rows > static_cast<std::uint32_t>(RowKind::decode)) return false;
  snapshot.position = position;
  snapshot.rows = static_cast<RowKind>(tail.rows);
  snapshot.hidden.assign(tail.has_hidden != 0 ? hidden : 0, 0.0F);
  if (!snapshot.hidden.empty()) std::memcpy(snapshot.hidden.data(), strip.data(), hidden * sizeof(float));
  return all_finite(snapshot.hidden.data(), snapshot.hidden.size());
}

}  // namespace lectern::inference
