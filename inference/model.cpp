#include "inference/model.h"

#include <algorithm>

#include "inference/tokenizer_gguf.h"
#include "kernels/device.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t usual_window = 32768;  // a default that a laptop's memory can hold
constexpr std::int64_t least_window = 512;

std::optional<Tokenizer> make_tokenizer(const GgufFile& file) {
  if (!file.has("tokenizer.ggml.tokens")) return std::nullopt;
  try {
    return Tokenizer(read_tokenizer_gguf(file).data);
  } catch (const Error& error) {
    throw Error(error.kind(), file.name() + ": " + error.what());
  }
}

}  // namespace

Model::Model(const std::filesystem::path& path)
    : file_(path),
      config_(read_model_config(file_)),
      weights_(load_weights(file_, config_)),
      tokenizer_(make_tokenizer(file_)) {}

const Tokenizer& Model::required_tokenizer() const {
  if (!tokenizer_)
    throw Error(ErrorKind::unsupported, file_.name() + ": the file holds no tokenizer; only `logits` can use it");
  return *tokenizer_;
}

std::int64_t Model::usable_tokens() const {
  const std::int64_t known = tokenizer_ ? tokenizer_->vocabulary_size() : config_.tokens;
  return known > 0 ? std::min(known, config_.vocabulary) : config_.vocabulary;
}

std::string Model::fingerprint() const {
  return config_.name + '\n' + file_.name() + '\n' + std::to_string(file_.size_bytes()) + '\n' + config_.quantization +
         '\n' + config_.rope.scaling + '\n' + kernels::name(state_type(config_)) + "\nstate f32, grid 64, cpu " +
         kernels::name(kernels::best_cpu_path());
}

std::int64_t choose_window(const Model& model, std::optional<std::int64_t> wanted, std::int64_t chunk,
                           std::optional<std::int64_t> available) {
  const ModelConfig& config = model.config();
  if (wanted && *wanted > config.context_length)
    throw Error(ErrorKind::bad_request, config.name + ": a window of " + std::to_string(*wanted) +
                                            " tokens is more than the " + std::to_string(config.context_length) +
                                            " the model was made for");
  if (wanted && *wanted < 1) throw Error(ErrorKind::bad_request, "window: it must hold at least 1 token");
  std::int64_t window = wanted.value_or(std::min(config.context_length, usual_window));
  MemoryPlan plan = plan_memory(model.weights().bytes(), config, window, chunk);
  if (!available) return window;
  while (!wanted && plan.total() > *available && window > least_window) {
    window = std::max(window / 2, least_window);
    plan = plan_memory(model.weights().bytes(), config, window, chunk);
  }
  require_fit(model.file().name(), plan, *available);
  return window;
}

}  // namespace lectern::inference
