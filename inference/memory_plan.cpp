// Weights, KV and states are exact: the same sizes that load_weights, the page pool and the layers allocate.
// Activations are the sum of the vectors that one chunk of tokens keeps alive in a layer, an upper bound of what the
// forward pass reuses.

#include "inference/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "inference/delta_replay.h"
#include "inference/mtp_layer.h"
#include "kernels/error.h"
#include "kernels/kv_page.h"

namespace lectern::inference {

using kernels::DType;

namespace {

std::string human(std::int64_t bytes) {
  char text[32];
  const auto value = static_cast<double>(bytes);
  if (bytes >= std::int64_t{1} << 30)
    std::snprintf(text, sizeof text, "%.1f GiB", value / 1073741824.0);
  else if (bytes >= 1 << 20)
    std::snprintf(text, sizeof text, "%.1f MiB", value / 1048576.0);
  else
    std::snprintf(text, sizeof text, "%.1f KiB", value / 1024.0);
  return text;
}

std::int64_t pages_of(std::int64_t tokens) {
  return (tokens + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
}

/// Factors that overflow come only from windows far beyond any machine.
std::int64_t times(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) || product > (std::int64_t{1} << 60))
    throw Error(ErrorKind::bad_request, "the window is larger than any memory; ask for fewer tokens");
  return product;
}

std::int64_t activation_values(const ModelConfig& config) {  // per token
  const AttentionConfig& attention = config.attention;
  const std::int64_t q = attention.heads * attention.head_dim;
  const std::int64_t attending = config.attention_layers() == 0 ? 0
                                                                : q * (attention.output_gate ? 3 : 2) +
                                                                      2 * attention.kv_heads * attention.head_dim;
  const DeltaConfig& delta = config.delta;
  const std::int64_t recurring = 2 * delta.conv_channels() + 2 * delta.value_size() + 4 * delta.value_heads;
  const MoeConfig& moe = config.moe;
  const std::int64_t routed =
      moe.experts + 2 * moe.used + 2 * moe.used * moe.hidden + 2 * moe.shared_hidden + 2 * config.hidden;
  return 3 * config.hidden + std::max(attending, recurring) +
         std::max(2 * config.dense_hidden, moe.experts > 0 ? routed : 0);
}

std::optional<std::int64_t> number_in(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::int64_t value = 0;
  if (stream >> value && value >= 0) return value;
  return {};  // no file, or "max"
}

/// The number after a word at the start of a line, in the unit of the file.
std::optional<std::int64_t> number_after(const std::filesystem::path& path, const std::string& word) {
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with(word)) return std::strtoll(line.c_str() + word.size(), nullptr, 10);
  return {};
}

/// What one control group's limit leaves; memory that only caches files counts as free.
std::optional<std::int64_t> left_in_group(const std::filesystem::path& folder, const char* limit, const char* usage,
                                          const std::string& prefix) {
  const auto most = number_in(folder / limit);
  const auto used = number_in(folder / usage);
  if (!most || !used) return {};
  const std::filesystem::path stat = folder / "memory.stat";
  const std::int64_t cached = number_after(stat, prefix + "inactive_file ").value_or(0) +
                              number_after(stat, prefix + "active_file ").value_or(0);
  return std::max<std::int64_t>(0, *most - *used + std::min(cached, *used));
}

}  // namespace

DType state_type(const ModelConfig& config) {
  return config.quantized ? DType::bf16 : DType::f32;
}

MemoryPlan plan_memory(const WeightBytes& weights, const ModelConfig& config, std::int64_t window, std::int64_t chunk,
                       std::int64_t drafts) {
  if (window < 1 || chunk < 1) throw Error(ErrorKind::bad_request, "a window needs at least one token");
  MemoryPlan plan;
  plan.window = window;
  plan.chunk = chunk;
  plan.weights_mapped = weights.mapped;
  plan.weights_owned = weights.owned;
  const DType type = state_type(config);
  const kernels::KvShape strip{config.attention.kv_heads, config.attention.head_dim, type};
  plan.kv = times(times(pages_of(window), strip.strip_bytes()), config.attention_layers() + (drafts > 0 ? 1 : 0));
  const DeltaConfig& delta = config.delta;
  plan.delta_state = times(times(delta.value_heads * delta.key_dim * delta.value_dim, 4), config.delta_layers());
  if (config.delta_layers() > 0)
    plan.conv_state = times(times((delta.conv_kernel - 1) * delta.conv_channels(), 4), config.delta_layers());
  plan.activations = times(times(activation_values(config), chunk) + times(config.vocabulary, 8), 4);
  if (drafts > 0) plan.drafting = MtpLayer::work_bytes(config, chunk) + DeltaReplay::bytes(config, drafts + 1);
  return plan;
}

std::string MemoryPlan::line() const {
  std::string text = human(total()) + " for a window of " + std::to_string(window) + " tokens: weights " +
                     human(weights_mapped + weights_owned) + ", KV " + human(kv);
  if (delta_state > 0) text += ", DeltaNet state " + human(delta_state + conv_state);
  if (drafting > 0) text += ", drafts " + human(drafting);
  return text + ", activations " + human(activations);
}

std::optional<std::int64_t> available_memory(const std::filesystem::path& root) {
  std::optional<std::int64_t> least;
  const auto limit = [&](std::optional<std::int64_t> bytes) {
    if (bytes) least = least ? std::min(*least, *bytes) : *bytes;
  };
  if (const auto kib = number_after(root / "proc/meminfo", "MemAvailable:"))
    limit(*kib * 1024);
  else if (root == "/")
    limit(std::int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE));

  // "0::/a/b" names the group of version 2, "9:memory:/a/b" that of version 1; limits of the groups above hold too.
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && controllers.find("memory") == std::string::npos) continue;
    const std::filesystem::path top = root / (unified ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    std::filesystem::path inside = std::filesystem::path(line.substr(second + 1)).relative_path();
    while (true) {
      const std::filesystem::path folder = inside.empty() ? top : top / inside;
      limit(unified ? left_in_group(folder, "memory.max", "memory.current", "")
                    : left_in_group(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"));
      if (inside.empty()) break;
      inside = inside.parent_path();
    }
  }
  return least;
}

void require_fit(const std::string& model, const MemoryPlan& plan, std::int64_t available) {
  if (plan.total() <= available) return;
  std::string advice = "use a smaller model";
  const std::int64_t page = plan.kv / pages_of(plan.window);
  const std::int64_t room = available - (plan.total() - plan.kv);
  if (page > 0 && room >= page)
    advice = "a window of " + std::to_string(room / page * kernels::kv_page_tokens) + " tokens would fit";
  throw Error(ErrorKind::out_of_memory,
              model + ": needs " + plan.line() + "; only " + human(available) + " are free; " + advice);
}

}  // namespace lectern::inference
