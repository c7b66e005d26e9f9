#include "inference/model.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

#include "build_id.h"
#include "inference/model_hash.h"
#include "inference/weight_packing.h"
#include "kernels/device.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t usual_window = 32768;  // a default that a laptop's memory can hold
constexpr std::int64_t least_window = 512;

Weights load_what_fits(const ModelSource& source, const ModelConfig& config) {
  const WeightBytes bytes = source.check_weights(config);
  if (const auto available = available_memory(); available && bytes.mapped + bytes.owned > *available)
    throw Error(ErrorKind::out_of_memory, source.name() + ": its weights take " +
                                              std::to_string((bytes.mapped + bytes.owned) >> 20) + " MiB; only " +
                                              std::to_string(*available >> 20) + " are free; use a smaller model");
  Weights weights = source.load_weights(config);
  pack_weights(weights);
  return weights;
}

}  // namespace

Model::Model(const std::filesystem::path& path)
    : source_(path), config_(source_.read_config()), weights_(load_what_fits(source_, config_)) {
  std::optional<ModelTokenizer> tokenizer = source_.read_tokenizer();
  if (!tokenizer) return;
  try {
    tokenizer_.emplace(std::move(tokenizer->data));
  } catch (const Error& error) {
    throw Error(error.kind(), source_.name() + ": " + error.what());
  }
  texts_ = std::move(*tokenizer);
  texts_.data = {};
  if (tokenizer_->vocabulary_size() > config_.vocabulary)
    throw Error(ErrorKind::bad_file, source_.name() + ": the tokenizer has " +
                                         std::to_string(tokenizer_->vocabulary_size()) + " tokens, the model only " +
                                         std::to_string(config_.vocabulary));
}

const Tokenizer& Model::required_tokenizer() const {
  if (!tokenizer_)
    throw Error(ErrorKind::unsupported, source_.name() + ": there is no tokenizer with it; only `logits` can use it");
  return *tokenizer_;
}

std::int64_t Model::usable_tokens() const {
  const std::int64_t known = tokenizer_ ? tokenizer_->vocabulary_size() : config_.tokens;
  return known > 0 ? std::min(known, config_.vocabulary) : config_.vocabulary;
}

ReadingIdentity Model::identity(const std::filesystem::path& memory) const {
  const RopeConfig& rope = config_.rope;  // a config.json may be edited while the weights stay
  char rotation[96];
  std::snprintf(rotation, sizeof rotation, "%.17g %.17g %.9g", rope.freq_base,
                std::accumulate(rope.frequencies.begin(), rope.frequencies.end(), 0.0),
                static_cast<double>(rope.magnitude));
  const std::vector<std::filesystem::path> files = source_.files();
  ReadingIdentity identity;
  identity.model = config_.name + ' ' + config_.quantization + ' ' + model_hash(files, memory);
  identity.settings = rope.scaling + ' ' + rotation + ' ' + kernels::name(state_type(config_));
  identity.build = std::string(build_id) + " cpu " + kernels::name(kernels::best_cpu_path());
  return identity;
}

std::int64_t choose_window(const Model& model, std::optional<std::int64_t> wanted, std::int64_t chunk,
                           std::optional<std::int64_t> available, std::int64_t drafts) {
  const ModelConfig& config = model.config();
  if (wanted && *wanted > config.context_length)
    throw Error(ErrorKind::bad_request, config.name + ": a window of " + std::to_string(*wanted) +
                                            " tokens is more than the " + std::to_string(config.context_length) +
                                            " the model was made for");
  if (wanted && *wanted < 1) throw Error(ErrorKind::bad_request, "window: it must hold at least 1 token");
  std::int64_t window = wanted.value_or(std::min(config.context_length, usual_window));
  MemoryPlan plan = plan_memory(model.weights().bytes(), config, window, chunk, drafts);
  if (!available) return window;
  *available += model.weights().owned_bytes;  // the model is open: they are taken already, and in the plan
  while (!wanted && plan.total() > *available && window > least_window) {
    window = std::max(window / 2, least_window);
    plan = plan_memory(model.weights().bytes(), config, window, chunk, drafts);
  }
  require_fit(model.path(), plan, *available);
  return window;
}

}  // namespace lectern::inference
