// Metadata as llama.cpp's converter writes it (conversion/qwen.py), then the tensors one after the other: slices of a
// tensor are made in parallel, each into its own buffer, and written in order.

#include "inference/synthesize.h"

#include <algorithm>
#include <system_error>
#include <vector>

#include "inference/gguf_writer.h"
#include "kernels/device.h"
#include "kernels/error.h"

namespace lectern::inference {

using kernels::DType;

namespace {

constexpr std::int64_t slice_bytes = 1 << 20;

/// general.file_type, llama.cpp's llama_ftype.
std::uint32_t file_type(DType type) {
  switch (type) {
    case DType::f32: return 0;
    case DType::q8_0: return 7;
    case DType::q4_k: return 15;  // Q4_K_M
    case DType::bf16: return 32;
    default: break;
  }
  throw Error(ErrorKind::bad_request, "quantization: random weights are written in F32, BF16, Q8_0 and Q4_K");
}

void add_shape(GgufWriter& writer, const SyntheticShape& shape) {
  const std::string prefix = shape.architecture + ".";
  const auto number = [&](const char* key, std::int64_t value) {
    writer.add_u32(prefix + key, static_cast<std::uint32_t>(value));
  };
  number("block_count", shape.blocks());
  number("context_length", shape.context);
  number("embedding_length", shape.hidden);
  if (shape.dense_hidden > 0) number("feed_forward_length", shape.dense_hidden);
  number("attention.head_count", shape.heads);
  number("attention.head_count_kv", shape.kv_heads);
  if (shape.architecture != "qwen3next")  // of interleaved M-RoPE; for text it is plain rotation
    writer.add_i32s(prefix + "rope.dimension_sections", std::vector<std::int32_t>{11, 11, 10, 0});
  writer.add_f32(prefix + "rope.freq_base", static_cast<float>(shape.rope_base));
  writer.add_f32(prefix + "attention.layer_norm_rms_epsilon", 1e-6F);
  if (shape.experts > 0) {
    number("expert_count", shape.experts);
    number("expert_used_count", shape.experts_used);
  }
  number("attention.key_length", shape.head_dim);
  number("attention.value_length", shape.head_dim);
  if (shape.experts > 0) {
    number("expert_feed_forward_length", shape.expert_hidden);
    number("expert_shared_feed_forward_length", shape.shared_hidden);
  }
  number("ssm.conv_kernel", shape.conv_kernel);
  number("ssm.state_size", shape.delta_dim);
  number("ssm.group_count", shape.key_heads);
  number("ssm.time_step_rank", shape.value_heads);
  number("ssm.inner_size", shape.value_heads * shape.delta_dim);
  number("full_attention_interval", shape.attention_interval);
  number("rope.dimension_count", shape.rope_dimensions);
  if (shape.draft_layer) number("nextn_predict_layers", 1);
}

void add_tokenizer(GgufWriter& writer, const ModelTokenizer& tokenizer) {
  const TokenizerData& data = tokenizer.data;
  writer.add_text("tokenizer.ggml.model", data.model);
  writer.add_text("tokenizer.ggml.pre", data.pre);
  writer.add_texts("tokenizer.ggml.tokens", data.tokens);
  writer.add_i32s("tokenizer.ggml.token_type", data.token_types);
  if (!data.merges.empty()) writer.add_texts("tokenizer.ggml.merges", data.merges);
  const auto id = [&](const char* key, const std::optional<TokenId>& token) {
    if (token) writer.add_u32(key, static_cast<std::uint32_t>(*token));
  };
  id("tokenizer.ggml.bos_token_id", data.bos);
  id("tokenizer.ggml.eos_token_id", data.eos);
  id("tokenizer.ggml.eot_token_id", data.eot);
  id("tokenizer.ggml.padding_token_id", data.pad);
  id("tokenizer.ggml.unknown_token_id", data.unk);
  writer.add_bool("tokenizer.ggml.add_bos_token", data.add_bos);
  if (!tokenizer.chat_template.empty()) writer.add_text("tokenizer.chat_template", tokenizer.chat_template);
}

void write_tensor(GgufWriter& writer, const SyntheticTensorSpec& spec, std::uint64_t seed,
                  kernels::cpu::ThreadPool& pool, std::vector<std::byte>& buffer) {
  const SyntheticTensor tensor(seed, spec.name, spec.type, spec.distribution);
  const std::int64_t block_bytes = kernels::block_bytes(spec.type);
  const std::int64_t slice_blocks = slice_bytes / block_bytes;
  const std::int64_t blocks = spec.size_bytes() / block_bytes;
  const std::int64_t round_blocks = std::ssize(buffer) / block_bytes;
  for (std::int64_t first = 0; first < blocks; first += round_blocks) {
    const std::int64_t count = std::min(round_blocks, blocks - first);
    pool.parallel_for(count, slice_blocks, [&](std::int64_t from, std::int64_t to, int) {
      tensor.fill(first + from, to - from, buffer.data() + from * block_bytes);
    });
    writer.write(std::span<const std::byte>(buffer).first(static_cast<std::size_t>(count * block_bytes)));
  }
}

void write_all(const SynthesisRequest& request, const std::vector<SyntheticTensorSpec>& tensors,
               const std::filesystem::path& path) {
  GgufWriter writer(path);
  writer.add_text("general.architecture", request.shape.architecture);
  writer.add_text("general.type", "model");
  writer.add_text("general.name", request.shape.preset + " with random weights, " +
                                      std::to_string(request.shape.layers) + " layers, seed " +
                                      std::to_string(request.seed));
  add_shape(writer, request.shape);
  writer.add_u32("general.file_type", file_type(request.type));
  writer.add_u32("general.quantization_version", 2);
  add_tokenizer(writer, request.tokenizer);
  for (const SyntheticTensorSpec& spec : tensors) writer.add_tensor(spec.name, spec.type, spec.shape);
  writer.begin_data();
  kernels::Stream stream(request.threads);
  std::vector<std::byte> buffer(static_cast<std::size_t>(4 * slice_bytes * stream.pool().size()));
  for (const SyntheticTensorSpec& spec : tensors) write_tensor(writer, spec, request.seed, stream.pool(), buffer);
  writer.close();
}

}  // namespace

void require_disk_space(const std::filesystem::path& path, std::int64_t size_bytes) {
  std::error_code unknown;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const std::filesystem::space_info space = std::filesystem::space(folder, unknown);
  if (unknown || space.available >= static_cast<std::uintmax_t>(size_bytes)) return;  // writing will tell
  throw Error(ErrorKind::io, path.string() + ": needs " + std::to_string(size_bytes >> 20) +
                                 " MiB, and its disk has only " + std::to_string(space.available >> 20) +
                                 " MiB left; choose another disk, fewer layers or a smaller format");
}

SynthesisResult synthesize_model(const SynthesisRequest& request, const std::filesystem::path& path) {
  const std::vector<SyntheticTensorSpec> tensors = synthetic_tensors(request.shape, request.type);
  SynthesisResult result;
  for (const SyntheticTensorSpec& spec : tensors) {
    result.parameters += spec.elements();
    result.size_bytes += spec.size_bytes();
  }
  std::error_code problem;
  if (std::filesystem::is_directory(path, problem))
    throw Error(ErrorKind::io, path.string() + ": is a folder; name a file");
  require_disk_space(path, result.size_bytes);
  const std::filesystem::path partial = path.string() + ".partial";
  try {
    write_all(request, tensors, partial);
    std::filesystem::rename(partial, path, problem);
    if (problem) throw Error(ErrorKind::io, path.string() + ": cannot be written: " + problem.message());
  } catch (...) {
    std::filesystem::remove(partial, problem);
    throw;
  }
  result.size_bytes = static_cast<std::int64_t>(std::filesystem::file_size(path, problem));
  return result;
}

}  // namespace lectern::inference
