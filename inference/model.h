// A model opened for computing: configuration, weights, tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "inference/disk/reading_log.h"
#include "inference/memory_plan.h"
#include "inference/model_config.h"
#include "inference/model_source.h"
#include "inference/tokenizer.h"
#include "inference/weights.h"

namespace lectern::inference {

/// Immutable once opened; any thread may read. Not movable: its parts refer to each other.
class Model {
 public:
  /// A GGUF file or a Hugging Face folder. Throws lectern::Error naming the file; Error{out_of_memory} before anything
  /// is copied if the weights alone do not fit.
  explicit Model(const std::filesystem::path& path);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelSource& source() const { return source_; }
  const std::string& path() const { return source_.name(); }
  const ModelConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  /// Jinja, with the texts that it refers to; empty where the files have none.
  const std::string& chat_template() const { return texts_.chat_template; }
  const std::string& bos_token() const { return texts_.bos_token; }
  const std::string& eos_token() const { return texts_.eos_token; }
  /// Null if the files hold no tokenizer (test models that are fed with ids).
  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  /// Throws Error{unsupported} if there is none.
  const Tokenizer& required_tokenizer() const;
  /// Ids that may be chosen: below this, the rest of the vocabulary is padding.
  std::int64_t usable_tokens() const;
  /// Everything that determines kept states. Reads the files once through, unless their hash is remembered in the file
  /// `memory` (model_hash.h; may be empty).
  ReadingIdentity identity(const std::filesystem::path& memory) const;

 private:
  ModelSource source_;
  ModelConfig config_;
  Weights weights_;
  ModelTokenizer texts_;  // without what tokenizer_ has taken
  std::optional<Tokenizer> tokenizer_;
};

/// min(wanted or the model's own length, what fits in `available` bytes); the own length is taken up to 32,768 tokens.
/// Throws Error{bad_request} if more is wanted than the model was made for, Error{out_of_memory} if nothing useful
/// fits.
std::int64_t choose_window(const Model& model, std::optional<std::int64_t> wanted, std::int64_t chunk,
                           std::optional<std::int64_t> available, std::int64_t drafts = 0);

}  // namespace lectern::inference
