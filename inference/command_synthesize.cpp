// model synthesize.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <ostream>

#include "inference/engine_command_list.h"
#include "inference/engine_options.h"
#include "inference/gguf_file.h"
#include "inference/synthesize.h"
#include "inference/synthetic_tokenizer.h"
#include "inference/tokenizer_gguf.h"
#include "inference/tokenizer_json.h"

namespace lectern::inference::commands {

namespace {

using kernels::DType;

constexpr DType offered_types[] = {DType::f32, DType::bf16, DType::q8_0, DType::q4_k};

SyntheticShape shape_named(const std::string& name) {
  std::string known;
  for (const SyntheticShape& shape : synthetic_presets()) {
    if (shape.preset == name) return shape;
    known += (known.empty() ? "" : ", ") + shape.preset;
  }
  throw UsageError("--preset: \"" + name + "\" is not known; choose one of " + known);
}

DType type_named(const std::string& name) {
  std::string known;
  for (const DType type : offered_types) {
    if (kernels::name(type) == name) return type;
    known += (known.empty() ? "" : ", ") + std::string(kernels::name(type));
  }
  throw UsageError("--quant: \"" + name + "\" is not known; choose one of " + known);
}

ModelTokenizer read_tokenizer(const std::filesystem::path& path) {
  return path.extension() == ".gguf" ? read_tokenizer_gguf(GgufFile(path)) : read_tokenizer_json(path);
}

}  // namespace

void synthesize(Arguments args, std::ostream& out, std::ostream&) {
  static constexpr std::string_view valued[] = {"--preset", "--quant",     "--seed",   "--layers",
                                                "--mtp",    "--tokenizer", "--threads"};
  const EngineOptions options(args, valued, {});
  if (options.positional().size() != 1) throw UsageError("model synthesize: give the one file to write, OUT.gguf");
  const std::filesystem::path path = options.positional()[0];

  SynthesisRequest request;
  request.shape = shape_named(options.required_text("--preset"));
  request.type = type_named(options.required_text("--quant"));
  options.required_text("--seed");
  request.seed = static_cast<std::uint64_t>(*options.integer("--seed", 0, INT64_MAX));
  request.shape.layers = options.integer("--layers", 1, 1023).value_or(request.shape.layers);
  request.shape.draft_layer = options.integer("--mtp", 0, 1).value_or(0) == 1;
  request.threads = static_cast<int>(options.integer("--threads", 1, 1024).value_or(0));
  const auto tokenizer = options.text("--tokenizer");
  request.tokenizer = tokenizer ? read_tokenizer(*tokenizer) : small_tokenizer(request.shape.pre);
  pad_tokenizer(request.tokenizer, request.shape.vocabulary, tokenizer.value_or("tokenizer"));

  const auto start = std::chrono::steady_clock::now();
  const SynthesisResult result = synthesize_model(request, path);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  char line[128];
  std::snprintf(line, sizeof line, ": %.1f M parameters, %.1f MB, written in %.1f s\n",
                static_cast<double>(result.parameters) / 1e6, static_cast<double>(result.size_bytes) / 1e6, seconds);
  out << path.string() << line;
}

}  // namespace lectern::inference::commands
