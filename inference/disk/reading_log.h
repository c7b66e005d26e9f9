// What was read, kept or not, so that the program can say why something must be read again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace lectern::inference {

/// What a kept reading depends on beside its tokens, in three parts, each a reason of its own to read again. Compared
/// as text; all three together are the identity that root_key() takes.
struct ReadingIdentity {
  std::string model;     // hash of weights, configuration and tokenizer
  std::string settings;  // rope scaling, types of kept values
  std::string build;     // sources and compiler, instruction path, grid
  std::string text() const { return model + '\x1e' + settings + '\x1e' + build; }
  bool operator==(const ReadingIdentity&) const = default;
};

/// One segment of a request that was read: what it was and the hash of its ids.
struct ReadPart {
  std::string id;
  std::uint64_t content = 0;
  bool operator==(const ReadPart&) const = default;
};

/// A memory that survives the program. Nothing here throws.
class ReadingLog {
 public:
  virtual ~ReadingLog() = default;
  /// False while nothing can be looked up or written.
  virtual bool is_usable() = 0;
  /// `documents` are those of the conversation in their order; `contents` are hashes of all segments of its chain.
  virtual void remember_reading(const std::string& conversation, std::span<const ReadPart> documents,
                                std::span<const std::uint64_t> contents) = 0;
  /// The documents of the conversation's last reading.
  virtual std::vector<ReadPart> last_reading(const std::string& conversation) = 0;
  /// Where among the documents of some conversation this one has stood.
  virtual std::vector<std::int64_t> places_of(const std::string& document) = 0;
  /// The identity under which this content was read: the present one if it was, else the latest other one.
  virtual std::optional<ReadingIdentity> reader_of(std::uint64_t content) = 0;
};

}  // namespace lectern::inference
