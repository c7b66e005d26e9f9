// What travels between a program and its lectern-reader: a frame of a JSON header and a binary body, each with its
// length. Neither side trusts a length; the program does not trust the text either.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "documents/document.h"
#include "documents/source_list.h"

namespace lectern::documents::protocol {

inline constexpr int socket_descriptor = 0;    // of the child: both directions
inline constexpr int document_descriptor = 3;  // of the child: the file, opened by the program
inline constexpr std::uint32_t magic = 0x5252434C;
inline constexpr std::int64_t frame_bytes = 16;
inline constexpr std::int64_t largest_header = std::int64_t{64} << 20;
inline constexpr std::int64_t largest_body = std::int64_t{320} << 20;

/// Exit codes of the child that mean something.
inline constexpr int exit_out_of_memory = 71;
inline constexpr int exit_no_sandbox = 72;

struct Message {
  nlohmann::json header;
  std::string body;
};

/// The frame: magic, length of the header (4 bytes each), length of the body (8), header, body. Little endian.
std::string encode(const Message& message);

struct FrameLengths {
  std::int64_t header = 0, body = 0;
};
/// Throws std::runtime_error if these are not the first 16 bytes of a frame within the bounds.
FrameLengths decode_lengths(std::string_view frame);

/// A page: the text and the words are the body.
Message encode_page(const Page& page);
/// Checks everything: valid UTF-8, words in order and inside the text. Throws std::exception.
Page decode_page(const Message& message);

nlohmann::json encode_report(const ReadingReport& report);
ReadingReport decode_report(const nlohmann::json& json);
nlohmann::json encode_outline(const std::vector<OutlineItem>& outline);
std::vector<OutlineItem> decode_outline(const nlohmann::json& json, int pages);
nlohmann::json encode_list(const SourceList& list);
/// `folder` is put before the relative paths, which may not leave it.
SourceList decode_list(const nlohmann::json& json, const std::string& folder);

}  // namespace lectern::documents::protocol
