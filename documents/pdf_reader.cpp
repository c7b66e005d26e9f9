// What bites (measured on real files): a locked document crashes on nearly every question, so is_locked() is asked
// first and unlock() returns true if it is *still* locked; without a callback a hostile file writes millions of lines
// to stderr; every text ends with a form feed; the boxes of CJK text are whole runs, so the boxes of characters are
// used. Text is taken in raw order, which keeps two columns apart; word boxes come in another order and are aligned
// with it (word_boxes.h).
#include "documents/pdf_reader.h"

#include <poppler-document.h>
#include <poppler-global.h>
#include <poppler-image.h>
#include <poppler-page-renderer.h>
#include <poppler-page.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstring>

#include "documents/color_shortcut.h"
#include "documents/pdf_structure.h"
#include "documents/utf8.h"
#include "documents/word_boxes.h"

namespace lectern::documents {
namespace {

constexpr std::int64_t scan_characters = 20;  // a page with fewer may be a scan
constexpr std::size_t largest_page_text = std::size_t{32} << 20U;
constexpr double most_pixels = 64e6;
constexpr int most_pages = 500'000;

/// UTF-16 as poppler hands it out; lone surrogates become U+FFFD, control characters that are no layout vanish.
std::vector<char32_t> code_points_of(const poppler::ustring& text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char32_t c = text[i];
    if (c >= 0xD800 && c < 0xDC00 && i + 1 < text.size() && text[i + 1] >= 0xDC00 && text[i + 1] < 0xE000) {
      c = 0x10000 + ((c - 0xD800) << 10U) + (text[i + 1] - 0xDC00U);
      ++i;
    } else if (c >= 0xD800 && c < 0xE000) {
      c = 0xFFFD;
    }
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF) continue;
    if (c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E)) continue;  // direction marks that poppler adds
    out.push_back(c);
  }
  return out;
}

std::string utf8_of(const poppler::ustring& text) {
  std::string out;
  for (char32_t c : code_points_of(text)) append_utf8(out, c);
  return out;
}

/// Metadata on one line.
std::string one_line(const poppler::ustring& text) {
  std::string out;
  for (char32_t c : code_points_of(text)) append_utf8(out, is_space(c) ? U' ' : c);
  const std::size_t first = out.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return out.substr(first, out.find_last_not_of(' ') - first + 1);
}

Box box_of(const poppler::rectf& r) {
  return {r.left(), r.top(), r.right(), r.bottom()};
}
bool is_right_to_left(char32_t c) {
  return (c >= 0x590 && c <= 0x8FF) || (c >= 0xFB1D && c <= 0xFDFF) || (c >= 0xFE70 && c <= 0xFEFC);
}

bool is_empty(const Box& b) {
  return b.x1 <= b.x0 && b.y1 <= b.y0;
}

std::int64_t visible_characters(std::string_view text) {
  const std::vector<char32_t> c = decode_utf8(text);
  return std::count_if(c.begin(), c.end(), [](char32_t character) { return !is_space(character); });
}

class PdfReader : public Reader {
 public:
  PdfReader(std::string_view bytes, const std::string& password) : structure_(bytes, password) {
    poppler::set_debug_error_function(
        [](const std::string&, void* self) { ++static_cast<PdfReader*>(self)->problems_; }, this);
    if (bytes.size() > static_cast<std::size_t>(INT_MAX))
      throw Error(ErrorKind::too_large, "is a PDF of more than 2 GB");
    document_.reset(
        poppler::document::load_from_raw_data(bytes.data(), static_cast<int>(bytes.size()), password, password));
    if (!document_) throw Error(ErrorKind::damaged, "is a PDF, but too damaged to open");
    if (document_->is_locked()) {
      throw Error(ErrorKind::encrypted, password.empty() ? "is encrypted; a password is needed to read it"
                                                         : "is encrypted, and the password given does not open it");
    }
    pages_ = document_->pages();
    if (pages_ < 1) throw Error(ErrorKind::damaged, "is a PDF, but no page of it can be found");
    if (pages_ > most_pages) throw Error(ErrorKind::too_large, "claims to have " + std::to_string(pages_) + " pages");
  }

  ~PdfReader() override {
    poppler::set_debug_error_function([](const std::string&, void*) {}, nullptr);
  }
  PdfReader(const PdfReader&) = delete;
  PdfReader& operator=(const PdfReader&) = delete;

  DocumentInfo info() const override {
    DocumentInfo info;
    info.kind = DocumentKind::pdf;
    info.pages = pages_;
    info.title = one_line(document_->get_title());
    info.author = one_line(document_->get_author());
    if (access(LECTERN_POPPLER_DATA "/cMap", R_OK) != 0) {
      info.report.warnings.push_back(
          "Chinese, Japanese and Korean text may be missing: install the package poppler-data");
    }
    if (problems_ > 0) {
      info.report.warnings.push_back("the file is damaged; what could be read may not be all (" +
                                     std::to_string(problems_) + " problems)");
    }
    return info;
  }

  Page page(int number) override {
    Page page;
    page.number = number;
    const std::unique_ptr<poppler::page> source = page_object(number);
    if (!source) {
      ++problems_;
      return page;
    }
    set_size(*source, page);
    page.text = utf8_of(source->text(poppler::rectf(), poppler::page::raw_order_layout));
    if (page.text.size() > largest_page_text)
      throw Error(ErrorKind::too_large, "page " + std::to_string(number) + " holds more than 32 MB of text");
    while (!page.text.empty() && (page.text.back() == '\n' || page.text.back() == ' ')) page.text.pop_back();
    page.words = align_words(page.text, placed_characters(*source));
    if (visible_characters(page.text) < scan_characters) page.has_image = structure_.has_image(number);
    return page;
  }

  Picture render(int number, double dpi) override {
    const std::unique_ptr<poppler::page> source = page_object(number);
    if (!source) throw Error(ErrorKind::damaged, "page " + std::to_string(number) + " cannot be found in the file");
    Page size;
    set_size(*source, size);
    dpi = std::clamp(std::isfinite(dpi) ? dpi : 72.0, 1.0, 1200.0);
    const double pixels = size.width_pt / 72 * dpi * size.height_pt / 72 * dpi;
    if (pixels > most_pixels) dpi *= std::sqrt(most_pixels / pixels);
    const ColorsWanted colors;
    poppler::page_renderer renderer;
    renderer.set_image_format(poppler::image::format_argb32);
    renderer.set_render_hints(poppler::page_renderer::antialiasing | poppler::page_renderer::text_antialiasing);
    const poppler::image image = renderer.render_page(source.get(), dpi, dpi);
    if (!image.is_valid() || image.width() < 1 || image.height() < 1) {
      throw Error(ErrorKind::damaged, "page " + std::to_string(number) + " cannot be drawn");
    }
    if (static_cast<double>(image.width()) * image.height() > 2 * most_pixels) {
      throw Error(ErrorKind::too_large, "page " + std::to_string(number) + " is too large to be drawn");
    }
    Picture picture{image.width(), image.height(), {}};
    const auto row_bytes = static_cast<std::size_t>(image.width()) * 4;
    picture.pixels.resize(row_bytes * static_cast<std::size_t>(image.height()));
    for (int y = 0; y < image.height(); ++y) {
      std::memcpy(picture.pixels.data() + row_bytes * static_cast<std::size_t>(y),
                  image.const_data() + static_cast<std::ptrdiff_t>(y) * image.bytes_per_row(), row_bytes);
    }
    for (std::size_t i = 3; i < picture.pixels.size(); i += 4) picture.pixels[i] = '\xFF';
    return picture;
  }

  std::vector<OutlineItem> outline() override {
    std::vector<OutlineItem> items = structure_.outline();
    for (OutlineItem& item : items) {
      if (item.page > pages_) item.page = 0;
    }
    return items;
  }

  std::int64_t problems() const override { return problems_; }

 private:
  std::unique_ptr<poppler::page> page_object(int number) const {
    if (number < 1 || number > pages_) throw Error(ErrorKind::missing, "has no page " + std::to_string(number));
    return std::unique_ptr<poppler::page>(document_->create_page(number - 1));
  }

  /// The page as it is shown: cropped and turned.
  static void set_size(const poppler::page& source, Page& page) {
    const poppler::rectf rect = source.page_rect(poppler::crop_box);
    page.width_pt = std::isfinite(rect.width()) ? std::abs(rect.width()) : 0;
    page.height_pt = std::isfinite(rect.height()) ? std::abs(rect.height()) : 0;
    const poppler::page::orientation_enum turned = source.orientation();
    if (turned == poppler::page::landscape || turned == poppler::page::seascape)
      std::swap(page.width_pt, page.height_pt);
  }

  static std::vector<PlacedCharacter> placed_characters(const poppler::page& source) {
    std::vector<PlacedCharacter> placed;
    for (const poppler::text_box& box : source.text_list()) {
      const std::vector<char32_t> characters = code_points_of(box.text());
      const Box whole = box_of(box.bbox());
      const std::size_t first = placed.size();
      for (std::size_t i = 0; i < characters.size(); ++i) {
        if (is_space(characters[i])) continue;
        const Box single = box_of(box.char_bbox(i));  // beyond the glyphs (ligatures): all zero
        placed.push_back({characters[i], is_empty(single) ? whole : single});
      }
      // Words are in the order they are seen; the text has them in the order they are read.
      if (std::any_of(characters.begin(), characters.end(), is_right_to_left)) {
        std::reverse(placed.begin() + static_cast<std::ptrdiff_t>(first), placed.end());
      }
    }
    return placed;
  }

  std::unique_ptr<poppler::document> document_;
  PdfStructure structure_;
  int pages_ = 0;
  std::int64_t problems_ = 0;
};

}  // namespace

std::unique_ptr<Reader> open_pdf(std::string_view bytes, const std::string& password) {
  return std::make_unique<PdfReader>(bytes, password);
}

}  // namespace lectern::documents
