// Reads the tiny models of tests/data/models and says what a model makes of given tokens.
#pragma once

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "inference/forward.h"
#include "inference/model.h"
#include "inference/model_run.h"

namespace lectern::inference::samples {

inline const std::filesystem::path models = std::filesystem::path(LECTERN_SOURCE_DIR) / "tests" / "data" / "models";

inline std::vector<TokenId> tokens_of(const std::string& name) {
  std::ifstream stream(models / (name + ".tokens.txt"));
  std::vector<TokenId> ids;
  for (TokenId id = 0; stream >> id;) ids.push_back(id);
  return ids;
}

inline std::vector<float> values_of(kernels::ConstTensor tensor) {
  const auto* values = reinterpret_cast<const float*>(tensor.data);
  return {values, values + tensor.elements()};
}

inline std::vector<float> logits_of(Forward& forward, kernels::ConstTensor hidden, RowKind kind = RowKind::prefill) {
  std::vector<float> logits(static_cast<std::size_t>(hidden.dim(0) * forward.config().vocabulary));
  forward.logits(hidden, kind, kernels::f32_view(logits.data(), {hidden.dim(0), forward.config().vocabulary}));
  return logits;
}

/// Logits [T, V] of the tokens, read in pieces of the given lengths.
inline std::vector<float> read(const Model& model, std::span<const TokenId> tokens, std::vector<std::int64_t> pieces,
                               int threads = 1) {
  ModelRun run(model, static_cast<std::int64_t>(tokens.size()), static_cast<std::int64_t>(tokens.size()), threads);
  std::vector<float> all;
  run.read(tokens, pieces, [&](kernels::ConstTensor hidden) {
    const std::vector<float> rows = logits_of(run.forward(), hidden);
    all.insert(all.end(), rows.begin(), rows.end());
  });
  return all;
}

}  // namespace lectern::inference::samples
