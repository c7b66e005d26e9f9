// JSON for what is small, packed bytes for what is large (text, words, pixels). Both programs are built together and
// run on one machine, so the packed parts have that machine's byte order.
#include "documents/reader_protocol.h"

#include <cstring>
#include <stdexcept>

#include "documents/utf8.h"

namespace lectern::documents::protocol {
namespace {

struct PackedWord {
  std::int32_t start, end;
  float box[4];
};
static_assert(sizeof(PackedWord) == 24);

[[noreturn]] void refuse(const char* what) {
  throw std::runtime_error(std::string("broken message: ") + what);
}

std::string checked_text(const nlohmann::json& json) {
  std::int64_t replaced = 0;
  return repair_utf8(json.get<std::string>(), replaced);
}

}  // namespace

std::string encode(const Message& message) {
  const std::string header = message.header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto header_bytes = static_cast<std::uint32_t>(header.size());
  const auto body_bytes = static_cast<std::uint64_t>(message.body.size());
  std::string frame(static_cast<std::size_t>(frame_bytes), '\0');
  std::memcpy(frame.data(), &magic, 4);
  std::memcpy(frame.data() + 4, &header_bytes, 4);
  std::memcpy(frame.data() + 8, &body_bytes, 8);
  frame += header;
  frame += message.body;
  return frame;
}

FrameLengths decode_lengths(std::string_view frame) {
  std::uint32_t found_magic = 0, header_bytes = 0;
  std::uint64_t body_bytes = 0;
  if (frame.size() < static_cast<std::size_t>(frame_bytes)) refuse("too short");
  std::memcpy(&found_magic, frame.data(), 4);
  std::memcpy(&header_bytes, frame.data() + 4, 4);
  std::memcpy(&body_bytes, frame.data() + 8, 8);
  if (found_magic != magic) refuse("no frame");
  if (header_bytes > largest_header || body_bytes > static_cast<std::uint64_t>(largest_body)) refuse("too long");
  return {header_bytes, static_cast<std::int64_t>(body_bytes)};
}

Message encode_page(const Page& page) {
  Message message;
  message.header = {{"number", page.number},          {"width", page.width_pt},        {"height", page.height_pt},
                    {"image", page.has_image},        {"first_line", page.first_line}, {"last_line", page.last_line},
                    {"text_bytes", page.text.size()}, {"words", page.words.size()}};
  message.body = page.text;
  std::vector<PackedWord> words;
  words.reserve(page.words.size());
  for (const Word& word : page.words) {
    words.push_back({static_cast<std::int32_t>(word.start),
                     static_cast<std::int32_t>(word.end),
                     {static_cast<float>(word.box.x0), static_cast<float>(word.box.y0), static_cast<float>(word.box.x1),
                      static_cast<float>(word.box.y1)}});
  }
  message.body.append(reinterpret_cast<const char*>(words.data()), words.size() * sizeof(PackedWord));
  return message;
}

Page decode_page(const Message& message) {
  const nlohmann::json& header = message.header;
  Page page;
  page.number = header.at("number").get<int>();
  page.width_pt = header.at("width").get<double>();
  page.height_pt = header.at("height").get<double>();
  page.has_image = header.at("image").get<bool>();
  page.first_line = header.at("first_line").get<int>();
  page.last_line = header.at("last_line").get<int>();
  const auto text_bytes = header.at("text_bytes").get<std::uint64_t>();
  const auto words = header.at("words").get<std::uint64_t>();
  if (text_bytes > message.body.size() || words > message.body.size() / sizeof(PackedWord) ||
      text_bytes + words * sizeof(PackedWord) != message.body.size()) {
    refuse("page lengths");
  }
  page.text = message.body.substr(0, text_bytes);
  if (!is_valid_utf8(page.text)) refuse("page text");
  const std::int64_t length = code_points(page.text);
  page.words.reserve(words);
  std::int64_t last = 0;
  for (std::uint64_t i = 0; i < words; ++i) {
    PackedWord word{};
    std::memcpy(&word, message.body.data() + text_bytes + i * sizeof(PackedWord), sizeof(word));
    if (word.start < last || word.end <= word.start || word.end > length) refuse("word offsets");
    last = word.end;
    page.words.push_back({word.start, word.end, {word.box[0], word.box[1], word.box[2], word.box[3]}});
  }
  return page;
}

nlohmann::json encode_report(const ReadingReport& report) {
  return {{"problems", report.problems},
          {"replaced", report.replaced_characters},
          {"encoding", report.encoding},
          {"warnings", report.warnings}};
}

ReadingReport decode_report(const nlohmann::json& json) {
  ReadingReport report;
  report.problems = json.at("problems").get<std::int64_t>();
  report.replaced_characters = json.at("replaced").get<std::int64_t>();
  report.encoding = checked_text(json.at("encoding"));
  for (const nlohmann::json& warning : json.at("warnings")) report.warnings.push_back(checked_text(warning));
  return report;
}

nlohmann::json encode_outline(const std::vector<OutlineItem>& outline) {
  nlohmann::json items = nlohmann::json::array();
  for (const OutlineItem& item : outline) items.push_back({item.title, item.page, item.depth});
  return items;
}

std::vector<OutlineItem> decode_outline(const nlohmann::json& json, int pages) {
  std::vector<OutlineItem> outline;
  for (const nlohmann::json& entry : json) {
    OutlineItem item{checked_text(entry.at(0)), entry.at(1).get<int>(), entry.at(2).get<int>()};
    if (item.page < 0 || item.page > pages) item.page = 0;
    if (item.depth < 0) item.depth = 0;
    outline.push_back(std::move(item));
  }
  return outline;
}

nlohmann::json encode_list(const SourceList& list) {
  nlohmann::json files = nlohmann::json::array();
  for (const SourceFile& file : list.files) files.push_back({file.relative, name(file.kind), file.size_bytes});
  nlohmann::json skipped = nlohmann::json::array();
  for (const SkipCount& skip : list.skipped)
    skipped.push_back({static_cast<int>(skip.reason), skip.files, skip.example});
  return {{"files", std::move(files)}, {"skipped", std::move(skipped)}};
}

SourceList decode_list(const nlohmann::json& json, const std::string& folder) {
  SourceList list;
  const std::string root = folder.empty() || folder.back() == '/' ? folder : folder + "/";
  for (const nlohmann::json& entry : json.at("files")) {
    SourceFile file;
    file.relative = entry.at(0).get<std::string>();
    if (file.relative.empty() || file.relative.front() == '/' ||
        ("/" + file.relative + "/").find("/../") != std::string::npos) {
      refuse("path outside the folder");
    }
    file.kind = document_kind(entry.at(1).get<std::string>());
    file.size_bytes = entry.at(2).get<std::int64_t>();
    file.path = root + file.relative;
    list.files.push_back(std::move(file));
  }
  for (const nlohmann::json& entry : json.at("skipped")) {
    const int reason = entry.at(0).get<int>();
    if (reason < 0 || reason > static_cast<int>(SkipReason::too_many)) refuse("reason");
    list.skipped.push_back(
        {static_cast<SkipReason>(reason), entry.at(1).get<std::int64_t>(), checked_text(entry.at(2))});
  }
  return list;
}

}  // namespace lectern::documents::protocol
