// Why something had to be read: remembers what was read before, so that no miss is silent.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "inference/context_store.h"
#include "inference/prompt_chain.h"
#include "inference/types.h"

namespace lectern::inference {

/// One thread. Small: it holds hashes and ids, no text.
class ReadingHistory {
 public:
  /// Reasons for the documents, instructions and answers of `chain` behind its first `kept` tokens, each reason once,
  /// in the order of the chain. Empty when only new messages had to be read.
  std::vector<MissReason> explain(const std::string& conversation, const PromptChain& chain, std::int64_t kept,
                                  const ContextStore* store) const;
  /// `chain` was read to its end.
  void remember(const std::string& conversation, const PromptChain& chain);

 private:
  struct Part {
    std::string id;
    std::uint64_t content = 0;  // hash of the ids
  };
  static std::vector<Part> parts_of(const PromptChain& chain);
  std::unordered_map<std::string, std::vector<Part>> last_;  // by conversation
  std::unordered_set<std::uint64_t> contents_;               // of all segments ever read
};

}  // namespace lectern::inference
