// The shape is a contract (architecture.md); `kind` and `lines` are additions for text and code.
#include "documents/extract_json.h"

#include <nlohmann/json.hpp>

#include <cmath>

#include "documents/anchors.h"
#include "documents/utf8.h"

namespace lectern::documents {
namespace {

double hundredths(double value) {
  return std::round(value * 100) / 100;
}

/// Words follow each other in the text: one pass finds them all.
nlohmann::json words_of(const Page& page) {
  nlohmann::json words = nlohmann::json::array();
  const std::vector<char32_t> c = decode_utf8(page.text);
  for (const Word& word : page.words) {
    std::string text;
    for (std::int64_t i = word.start; i < word.end && i < static_cast<std::int64_t>(c.size()); ++i) {
      append_utf8(text, c[static_cast<std::size_t>(i)]);
    }
    words.push_back(
        {{"text", std::move(text)},
         {"start", word.start},
         {"end", word.end},
         {"box",
          {hundredths(word.box.x0), hundredths(word.box.y0), hundredths(word.box.x1), hundredths(word.box.y1)}}});
  }
  return words;
}

}  // namespace

nlohmann::json to_json(const Document& document) {
  nlohmann::json pages = nlohmann::json::array();
  for (const Page& page : document.pages) {
    nlohmann::json entry = {
        {"page", page.number}, {"width_pt", hundredths(page.width_pt)},  {"height_pt", hundredths(page.height_pt)},
        {"text", page.text},   {"anchor", marker_of(document, 1, page)}, {"words", words_of(page)}};
    entry["lines"] = page.first_line > 0 ? nlohmann::json({page.first_line, page.last_line}) : nlohmann::json(nullptr);
    if (page.has_image) entry["has_image"] = true;
    pages.push_back(std::move(entry));
  }
  nlohmann::json outline = nlohmann::json::array();
  for (const OutlineItem& item : document.outline) {
    outline.push_back({{"title", item.title},
                       {"page", item.page > 0 ? nlohmann::json(item.page) : nlohmann::json(nullptr)},
                       {"depth", item.depth}});
  }
  const ReadingReport& report = document.report;
  const auto without_text = static_cast<int>(report.pages_without_text.size());
  return {{"document", document.name},
          {"fingerprint", document.fingerprint},
          {"kind", name(document.kind)},
          {"title", document.title},
          {"author", document.author},
          {"pages", std::move(pages)},
          {"outline", std::move(outline)},
          {"tables", nlohmann::json::array()},
          {"coverage",
           {{"pages", report.pages},
            {"pages_with_text", report.pages - without_text},
            {"pages_without_text", report.pages_without_text},
            {"problems", report.problems},
            {"replaced_characters", report.replaced_characters},
            {"encoding", report.encoding.empty() ? nlohmann::json(nullptr) : nlohmann::json(report.encoding)},
            {"warnings", report.warnings}}}};
}

}  // namespace lectern::documents
