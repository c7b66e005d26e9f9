#include "app/terminal_answer.h"

#include "app/coverage.h"

namespace lectern::app {
namespace {

std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : plain_for_terminal(text)) {
    const bool space = c == ' ' || c == '\n' || c == '\t';
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : c;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string place(const Citation& citation) {
  std::string text = on_one_line(citation.document);
  if (citation.lines && citation.lines->first > 0) {
    text += citation.lines->first == citation.lines->second
                ? ", line " + std::to_string(citation.lines->first)
                : ", lines " + std::to_string(citation.lines->first) + "-" + std::to_string(citation.lines->second);
  } else if (citation.page > 0) {
    text += ", page " + std::to_string(citation.page);
  }
  return text;
}

std::string source_line(const Citation& citation) {
  std::string line = "  [" + std::to_string(citation.marker) + "] ";
  switch (citation.status) {
    case CitationStatus::verified: line += "✓ " + place(citation); break;
    case CitationStatus::elsewhere:
      line += "↪ found elsewhere: " + place(citation);
      if (citation.claimed_page > 0) line += " (the answer says page " + std::to_string(citation.claimed_page) + ")";
      break;
    case CitationStatus::absent:
      line += "✕ not in the document";
      if (citation.claimed_page > 0) line += " (the answer says page " + std::to_string(citation.claimed_page) + ")";
      break;
  }
  if (!citation.quote.empty()) line += ": “" + on_one_line(citation.quote) + "”";
  return line + "\n";
}

std::string seconds(double value) {
  const auto tenths = static_cast<std::int64_t>(value * 10 + 0.5);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

}  // namespace

std::string plain_for_terminal(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    const std::string_view three = text.substr(at, 3);
    const bool turns_direction = (three >= "\xE2\x80\xAA" && three <= "\xE2\x80\xAE") ||  // U+202A to U+202E
                                 (three >= "\xE2\x81\xA6" && three <= "\xE2\x81\xA9");    // U+2066 to U+2069
    const bool c1 = c == 0xC2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0x80 &&
                    static_cast<unsigned char>(text[at + 1]) < 0xA0;
    if (c1 || turns_direction) {
      plain += "\xEF\xBF\xBD";
      at += c1 ? 1 : 2;
    } else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
      plain += "\xEF\xBF\xBD";
    } else {
      plain += static_cast<char>(c);
    }
  }
  return plain;
}

std::string answer_footer(const Message& answer) {
  std::string sources, passages;
  for (const Citation& citation : answer.citations) {
    (citation.answer_end < 0 ? passages : sources) += source_line(citation);
  }
  std::string text;
  if (!sources.empty()) text += "\nSources\n" + sources;
  if (answer.report && !answer.report->unsupported.empty()) {
    text += "\n";
    for (const Unsupported& item : answer.report->unsupported) {
      text += "  ! not supported by the text: " + on_one_line(item.sentence) + "\n";
    }
  }
  if (!passages.empty()) text += "\nPassages that bear on the question\n" + passages;
  if (!answer.report) return text;
  const AnswerReport& report = *answer.report;
  text += "\n" + coverage_sentence(report) + ".\n";
  text += with_thousands(report.usage.computed_tokens) + " tokens read now in " + seconds(report.timing.prefill_s) +
          ", " + with_thousands(report.usage.reused_tokens + report.usage.loaded_tokens) + " kept from before; " +
          with_thousands(report.usage.generated_tokens) + " written";
  switch (report.finish_reason) {
    case inference::FinishReason::stop: break;
    case inference::FinishReason::length: text += "; the answer was cut at its longest length"; break;
    case inference::FinishReason::window: text += "; the answer was cut: the model's window is full"; break;
    case inference::FinishReason::repetition: text += "; the answer was stopped where it went round in circles"; break;
    case inference::FinishReason::cancelled: text += "; stopped, what was written is kept"; break;
  }
  text += ".\n";
  if (!report.model.warning.empty()) text += "Model: " + on_one_line(report.model.warning) + "\n";
  return text;
}

}  // namespace lectern::app
