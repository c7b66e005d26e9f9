// A file named .pdf that is none gets an error that says what it is instead, since that is what a person can act on.
#include "documents/reader.h"

#include "documents/pdf_reader.h"
#include "documents/source_list.h"
#include "documents/text_reader.h"

namespace lectern::documents {
namespace {

struct Magic {
  std::string_view bytes;
  const char* what;
};
using namespace std::string_view_literals;
constexpr Magic known[] = {
    {"PK\x03\x04"sv, "a ZIP archive or an office document (DOCX, ODT, EPUB)"},
    {"\xD0\xCF\x11\xE0"sv, "an old Microsoft Office document"},
    {"\x89PNG"sv, "a PNG picture"},
    {"\xFF\xD8\xFF"sv, "a JPEG picture"},
    {"GIF8"sv, "a GIF picture"},
    {"II*\0"sv, "a TIFF picture"},
    {"MM\0*"sv, "a TIFF picture"},
    {"\x7F"
     "ELF"sv,
     "a program"},
    {"MZ"sv, "a Windows program"},
    {"\x1F\x8B"sv, "a gzip archive"},
    {"BZh"sv, "a bzip2 archive"},
    {"\xFD"
     "7zXZ"sv,
     "an xz archive"},
    {"7z\xBC\xAF"sv, "a 7-Zip archive"},
    {"Rar!"sv, "a RAR archive"},
    {"SQLite format 3"sv, "an SQLite database"},
    {"GGUF"sv, "a model file"},
    {"{\\rtf"sv, "an RTF document"},
    {"%!PS"sv, "a PostScript document"},
};

const Magic* known_magic(std::string_view bytes) {
  for (const Magic& magic : known) {
    if (bytes.starts_with(magic.bytes)) return &magic;
  }
  return nullptr;
}

}  // namespace

bool looks_like_pdf(std::string_view bytes) {
  return bytes.substr(0, 1024).find("%PDF-") != std::string_view::npos;
}

std::unique_ptr<Reader> open_reader(std::string_view bytes, const std::string& name, const std::string& password) {
  if (bytes.empty()) throw Error(ErrorKind::empty, "the file is empty");
  const DocumentKind by_name = kind_by_name(name);
  const Magic* magic = known_magic(bytes);
  // A text that merely speaks of "%PDF-" stays a text: without the ending .pdf the magic must be the first thing in the
  // file.
  if (by_name == DocumentKind::pdf ? looks_like_pdf(bytes) : bytes.starts_with("%PDF-"))
    return open_pdf(bytes, password);
  if (by_name == DocumentKind::pdf) {
    throw Error(ErrorKind::unsupported,
                std::string("is named .pdf but is not a PDF") +
                    (magic != nullptr ? std::string("; it looks like ") + magic->what : std::string()));
  }
  if (magic != nullptr && magic->bytes.size() > 2) {
    throw Error(ErrorKind::unsupported, std::string("is ") + magic->what + ", which Lectern cannot read");
  }
  return open_text(bytes, by_name);
}

}  // namespace lectern::documents
