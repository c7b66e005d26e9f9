// qpdf is asked late and little: it parses the whole cross-reference a second time, which most documents never need.
#include "documents/pdf_structure.h"

#include <qpdf/QPDF.hh>
#include <qpdf/QPDFOutlineDocumentHelper.hh>
#include <qpdf/QPDFPageDocumentHelper.hh>
#include <qpdf/QPDFPageObjectHelper.hh>

#include <map>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr std::size_t most_items = 20'000;
constexpr int deepest = 32;

}  // namespace

struct PdfStructure::State {
  QPDF file;
  std::vector<QPDFPageObjectHelper> pages;
  std::map<QPDFObjGen, int> numbers;

  void append(std::vector<OutlineItem>& out, QPDFOutlineObjectHelper item, int depth) {
    if (out.size() >= most_items || depth > deepest) return;
    OutlineItem entry;
    std::int64_t replaced = 0;
    for (char32_t c : decode_utf8(repair_utf8(item.getTitle(), replaced))) {
      append_utf8(entry.title, c < 0x20 ? U' ' : c);
    }
    entry.depth = depth;
    const QPDFObjectHandle page = item.getDestPage();
    if (const auto found = numbers.find(page.getObjGen()); page.isIndirect() && found != numbers.end())
      entry.page = found->second;
    out.push_back(std::move(entry));
    for (const QPDFOutlineObjectHelper& kid : item.getKids()) append(out, kid, depth + 1);
  }
};

PdfStructure::PdfStructure(std::string_view bytes, std::string password)
    : bytes_(bytes), password_(std::move(password)) {}
PdfStructure::~PdfStructure() = default;

PdfStructure::State* PdfStructure::open() {
  if (tried_) return state_.get();
  tried_ = true;
  try {
    auto state = std::make_unique<State>();
    state->file.setSuppressWarnings(true);
    state->file.processMemoryFile("document", bytes_.data(), bytes_.size(), password_.c_str());
    state->pages = QPDFPageDocumentHelper(state->file).getAllPages();
    for (std::size_t i = 0; i < state->pages.size(); ++i) {
      state->numbers.emplace(state->pages[i].getObjectHandle().getObjGen(), static_cast<int>(i) + 1);
    }
    state_ = std::move(state);
  } catch (const std::exception&) {
    state_.reset();
  }
  return state_.get();
}

std::vector<OutlineItem> PdfStructure::outline() {
  std::vector<OutlineItem> items;
  State* state = open();
  if (state == nullptr) return items;
  try {
    QPDFOutlineDocumentHelper helper(state->file);
    for (const QPDFOutlineObjectHelper& item : helper.getTopLevelOutlines()) state->append(items, item, 0);
  } catch (const std::exception&) {
    // What was found so far is still true.
  }
  return items;
}

bool PdfStructure::has_image(int page) {
  State* state = open();
  if (state == nullptr || page < 1 || page > static_cast<int>(state->pages.size())) return false;
  try {
    bool found = false;
    state->pages[static_cast<std::size_t>(page - 1)].forEachImage(
        true, [&found](QPDFObjectHandle&, QPDFObjectHandle&, std::string const&) { found = true; });
    return found;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace lectern::documents
