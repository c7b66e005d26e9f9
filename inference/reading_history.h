// Why something had to be read: remembers what was read before, so that no miss is silent.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "inference/context_store.h"
#include "inference/disk/reading_log.h"
#include "inference/prompt_chain.h"
#include "inference/types.h"

namespace lectern::inference {

/// One thread. Small: it holds hashes and ids, no text.
class ReadingHistory {
 public:
  /// `log` (may be null) is asked for what this process has not seen, and told of what it reads. Must outlive it.
  explicit ReadingHistory(ReadingIdentity identity = {}, ReadingLog* log = nullptr)
      : identity_(std::move(identity)), log_(log) {}

  /// Reasons for the documents, instructions and answers of `chain` behind its first `kept` tokens, each reason once,
  /// in the order of the chain. Empty when only new messages had to be read.
  std::vector<MissReason> explain(const std::string& conversation, const PromptChain& chain, std::int64_t kept,
                                  const ContextStore* store) const;
  /// `chain` was read to its end.
  void remember(const std::string& conversation, const PromptChain& chain);

 private:
  static std::vector<ReadPart> documents_of(const PromptChain& chain);
  std::vector<ReadPart> last_documents(const std::string& conversation) const;
  std::optional<ReadingIdentity> reader_of(std::uint64_t content) const;
  /// Whether a document has stood among those of a conversation, and never at this place.
  bool stood_elsewhere(const std::string& document, std::int64_t place) const;

  ReadingIdentity identity_;
  ReadingLog* log_;
  std::unordered_map<std::string, std::vector<ReadPart>> last_;     // by conversation
  std::unordered_set<std::uint64_t> contents_;                      // of all segments ever read
  std::unordered_map<std::string, std::set<std::int64_t>> places_;  // of documents, in any conversation
};

}  // namespace lectern::inference
