// Decoding first tries what can be proven (byte order mark, valid UTF-8, the zero bytes of UTF-16 in Latin scripts);
// only then it asks uchardet. Bytes that iconv refuses become U+FFFD one by one and are counted. A page keeps whole
// lines, unless a single line is longer than a page may be: it goes on in the next page under the same line number.
#include "documents/text_reader.h"

#include <iconv.h>
#include <uchardet/uchardet.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

using namespace std::string_view_literals;

constexpr std::int64_t largest_text = std::int64_t{256} << 20;
constexpr int lines_of_a_page = 120;
constexpr std::size_t largest_page = 24'000;  // bytes

struct Utf8Counts {
  std::int64_t multibyte = 0, bad = 0;
};

Utf8Counts count_utf8(std::string_view bytes) {
  Utf8Counts counts;
  for (std::size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte < 0x80) {
      ++i;
      continue;
    }
    std::size_t length = byte >= 0xF0 ? 4 : (byte >= 0xE0 ? 3 : (byte >= 0xC2 ? 2 : 0));
    if (length > 0 && is_valid_utf8(bytes.substr(i, length)) && bytes.size() - i >= length) {
      ++counts.multibyte;
      i += length;
    } else {
      ++counts.bad;
      ++i;
    }
  }
  return counts;
}

/// UTF-16 or UTF-32 without a mark: zero bytes keep to one place of each unit.
const char* wide_encoding(std::string_view bytes) {
  const std::string_view sample = bytes.substr(0, 4096);
  std::int64_t zeros[4] = {};
  for (std::size_t i = 0; i < sample.size(); ++i) zeros[i % 4] += sample[i] == '\0' ? 1 : 0;
  const auto units = static_cast<std::int64_t>(sample.size() / 4);
  if (units < 2) return nullptr;
  const auto many = [units](std::int64_t n) { return n * 10 >= units * 7; };
  const auto none = [units](std::int64_t n) { return n * 50 <= units; };
  if (many(zeros[1]) && many(zeros[2]) && many(zeros[3]) && none(zeros[0])) return "UTF-32LE";
  if (many(zeros[0]) && many(zeros[1]) && many(zeros[2]) && none(zeros[3])) return "UTF-32BE";
  if (many(zeros[1]) && many(zeros[3]) && none(zeros[0]) && none(zeros[2])) return "UTF-16LE";
  if (many(zeros[0]) && many(zeros[2]) && none(zeros[1]) && none(zeros[3])) return "UTF-16BE";
  return nullptr;
}

std::string detect(std::string_view bytes) {
  const std::unique_ptr<struct uchardet, void (*)(uchardet_t)> detector(uchardet_new(), uchardet_delete);
  const std::string_view sample = bytes.substr(0, std::size_t{1} << 20U);
  uchardet_handle_data(detector.get(), sample.data(), sample.size());
  uchardet_data_end(detector.get());
  std::string found = uchardet_get_charset(detector.get());
  // Supersets, as the files of those names really are.
  if (found == "SHIFT_JIS") return "CP932";
  if (found == "GB2312" || found == "HZ-GB-2312") return "GB18030";
  if (found == "EUC-KR" || found == "UHC") return "CP949";
  if (found == "BIG5") return "BIG5-HKSCS";
  if (found == "ISO-8859-1" || found == "ASCII" || found.empty()) return "WINDOWS-1252";
  return found;
}

std::string convert(std::string_view bytes, const std::string& encoding, std::int64_t& replaced) {
  const iconv_t converter = iconv_open("UTF-8", encoding.c_str());
  if (converter == reinterpret_cast<iconv_t>(-1)) {
    throw Error(ErrorKind::unsupported, "is text in the encoding " + encoding + ", which this machine cannot convert");
  }
  const std::unique_ptr<void, int (*)(iconv_t)> owner(converter, iconv_close);
  const std::size_t unit = encoding.starts_with("UTF-32") ? 4 : (encoding.starts_with("UTF-16") ? 2 : 1);
  std::string out, buffer(std::size_t{1} << 16U, '\0');
  std::string input(bytes);
  char* in = input.data();
  std::size_t left = input.size();
  while (left > 0) {
    char* to = buffer.data();
    std::size_t room = buffer.size();
    const std::size_t result = iconv(converter, &in, &left, &to, &room);
    out.append(buffer.data(), buffer.size() - room);
    if (result != static_cast<std::size_t>(-1) || errno == E2BIG) continue;
    const std::size_t skipped = std::min(unit, left);
    in += skipped;
    left -= skipped;
    out += "\xEF\xBF\xBD";
    ++replaced;
    if (replaced > 1000 && replaced * 10 > static_cast<std::int64_t>(bytes.size() - left)) {
      throw Error(ErrorKind::unsupported, "is not text that Lectern can read (binary data)");
    }
  }
  return out;
}

/// Line ends become '\n'; control characters that are no layout are dropped.
std::string normalise(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\r') {
      if (i + 1 >= text.size() || text[i + 1] != '\n') out += '\n';
    } else if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t' || c == '\f') {
      out += c;
    }
  }
  return out;
}

/// Whether bytes without meaning as text are so many that this is no text.
bool has_binary_controls(std::string_view bytes) {
  const std::string_view sample = bytes.substr(0, std::size_t{1} << 16U);
  const auto controls = std::count_if(sample.begin(), sample.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 && (byte < 7 || byte > 13) && byte != 0x1B;
  });
  return controls * 50 > static_cast<std::int64_t>(sample.size());
}

class TextReader : public Reader {
 public:
  TextReader(DecodedText decoded, DocumentKind kind) : decoded_(std::move(decoded)), kind_(kind) { split(); }

  DocumentInfo info() const override {
    DocumentInfo info;
    info.kind = kind_;
    info.pages = static_cast<int>(pages_.size());
    info.report.encoding = decoded_.encoding;
    info.report.replaced_characters = decoded_.replaced_characters;
    if (decoded_.replaced_characters > 0) {
      info.report.warnings.push_back(std::to_string(decoded_.replaced_characters) +
                                     " characters were not valid in the encoding " + decoded_.encoding);
    }
    return info;
  }

  Page page(int number) override {
    if (number < 1 || number > static_cast<int>(pages_.size()))
      throw Error(ErrorKind::missing, "has no page " + std::to_string(number));
    const Piece& piece = pages_[static_cast<std::size_t>(number - 1)];
    Page page;
    page.number = number;
    page.text = decoded_.text.substr(piece.begin, piece.end - piece.begin);
    page.first_line = piece.first_line;
    page.last_line = piece.last_line;
    return page;
  }

  Picture render(int, double) override { throw Error(ErrorKind::unsupported, "is text and has no page pictures"); }
  std::vector<OutlineItem> outline() override { return {}; }
  std::int64_t problems() const override { return 0; }

 private:
  struct Piece {
    std::size_t begin = 0, end = 0;
    int first_line = 0, last_line = 0;
  };

  void split() {
    std::string& text = decoded_.text;
    Piece piece{0, 0, 1, 1};
    int line = 1;
    for (std::size_t i = 0; i < text.size();) {
      if (text[i] == '\f') {
        text[i] = '\n';  // keeps the offsets; a form feed is usually alone on its line
        finish(piece, i, line);
        ++i;
        if (i < text.size() && text[i] == '\n' && (i < 2 || text[i - 2] == '\n')) {
          ++i;
          ++line;
        }
        piece = {i, i, line, line};
        continue;
      }
      std::size_t end = text.find_first_of("\n\f"sv, i);
      end = end == std::string::npos ? text.size() : end + (text[end] == '\n' ? 1 : 0);
      if (end - piece.begin > largest_page && i > piece.begin) {
        finish(piece, i, line - (text[i - 1] == '\n' ? 1 : 0));
        piece = {i, i, line, line};
      }
      while (end - i > largest_page) {  // one endless line
        std::size_t cut = i + largest_page;
        while ((static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
        finish(piece, cut, line);
        piece = {cut, cut, line, line};
        i = cut;
      }
      const bool whole = end > 0 && text[end - 1] == '\n';
      i = end;
      if (!whole) continue;
      if (line - piece.first_line + 1 >= lines_of_a_page) {
        finish(piece, i, line);
        piece = {i, i, line + 1, line + 1};
      }
      ++line;
    }
    if (piece.begin < text.size()) finish(piece, text.size(), text.back() == '\n' ? line - 1 : line);
    if (pages_.empty()) pages_.push_back({0, 0, 1, 1});
  }

  void finish(Piece piece, std::size_t end, int last_line) {
    piece.end = end;
    while (piece.end > piece.begin && decoded_.text[piece.end - 1] == '\n') --piece.end;
    if (end == piece.begin) return;
    piece.last_line = std::max(last_line, piece.first_line);
    pages_.push_back(piece);
  }

  DecodedText decoded_;
  DocumentKind kind_;
  std::vector<Piece> pages_;
};

}  // namespace

DecodedText decode_text(std::string_view bytes) {
  if (static_cast<std::int64_t>(bytes.size()) > largest_text)
    throw Error(ErrorKind::too_large, "is a text of more than 256 MB");
  struct Mark {
    std::string_view bytes;
    const char* encoding;
  };
  static constexpr Mark marks[] = {{"\xFF\xFE\0\0"sv, "UTF-32LE"},
                                   {"\0\0\xFE\xFF"sv, "UTF-32BE"},
                                   {"\xEF\xBB\xBF"sv, "UTF-8"},
                                   {"\xFF\xFE"sv, "UTF-16LE"},
                                   {"\xFE\xFF"sv, "UTF-16BE"}};
  DecodedText decoded;
  for (const Mark& mark : marks) {
    if (bytes.starts_with(mark.bytes)) {
      decoded.encoding = mark.encoding;
      bytes.remove_prefix(mark.bytes.size());
      break;
    }
  }
  if (decoded.encoding.empty()) {
    if (const char* wide = wide_encoding(bytes)) decoded.encoding = wide;
  }
  if (decoded.encoding.empty()) {
    if (bytes.find('\0') != std::string_view::npos || has_binary_controls(bytes)) {
      throw Error(ErrorKind::unsupported, "is not text and of no kind that Lectern can read (binary data)");
    }
    const Utf8Counts counts = count_utf8(bytes);
    const bool escapes = bytes.find("\x1B$"sv) != std::string_view::npos;  // ISO-2022: Japanese in seven bits
    if (!escapes && (counts.bad == 0 || counts.multibyte > 10 * counts.bad)) decoded.encoding = "UTF-8";
  }
  if (decoded.encoding.empty()) decoded.encoding = detect(bytes);

  const std::string text = decoded.encoding == "UTF-8" ? repair_utf8(bytes, decoded.replaced_characters)
                                                       : convert(bytes, decoded.encoding, decoded.replaced_characters);
  decoded.text = normalise(text);
  return decoded;
}

std::unique_ptr<Reader> open_text(std::string_view bytes, DocumentKind kind) {
  return std::make_unique<TextReader>(decode_text(bytes), kind);
}

}  // namespace lectern::documents
