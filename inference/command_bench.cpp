// bench: reading and writing speed next to what the machine can do, measured in the same run. Depths are reached by
// filling keys and values (ModelRun::restart_at), and the table says so.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ostream>

#include <nlohmann/json.hpp>

#include "inference/engine_command_list.h"
#include "inference/engine_options.h"
#include "inference/fork_bench.h"
#include "inference/model_files.h"
#include "inference/model_run.h"
#include "inference/sampler.h"
#include "inference/step_trace.h"
#include "kernels/error.h"
#include "kernels/machine_limits.h"

namespace lectern::inference::commands {

namespace {

constexpr std::int64_t most_tokens = std::int64_t{1} << 22;
constexpr std::int64_t chunk = 512;
constexpr int most_threads = 1024;
constexpr std::int64_t most_questions = 1000;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Ids that look like nothing in particular, the same in every run.
std::vector<TokenId> some_tokens(std::int64_t count, std::int64_t vocabulary) {
  std::vector<TokenId> ids(static_cast<std::size_t>(count));
  std::uint64_t state = 1;
  for (TokenId& id : ids) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    id = static_cast<TokenId>((state >> 33) % static_cast<std::uint64_t>(vocabulary));
  }
  return ids;
}

struct Limits {
  double read_gb_per_s = 0;
  kernels::MultiplyPeak peak;
};

class Bench {
 public:
  Bench(const Model& model, std::int64_t window, int threads)
      : model_(model), run_(model, window, std::min(chunk, window), threads) {
    limits_.read_gb_per_s = kernels::measure_read_gigabytes_per_s(run_.stream());
    limits_.peak = kernels::measure_multiply_peak(run_.stream());
  }

  const Limits& limits() const { return limits_; }
  kernels::Stream& stream() { return run_.stream(); }
  /// Quantized weights are multiplied as 8-bit integers, others as f32.
  double multiply_limit() const {
    return model_.config().quantization.starts_with("Q") ? limits_.peak.i8_gop_per_s : limits_.peak.f32_gflop_per_s;
  }

  StepTrace prefill(std::int64_t depth, std::int64_t count) {
    const std::vector<TokenId> tokens = some_tokens(count, model_.usable_tokens());
    run_.restart_at(depth);
    StepTrace trace(model_.config(), model_.weights());
    auto start = Clock::now();
    run_.read(tokens, {}, [&](kernels::ConstTensor hidden) {
      trace.add_prefill(hidden.dim(0), run_.sequence().position(), seconds_since(start));
      start = Clock::now();
    });
    return trace;
  }

  /// Forward pass, logits and greedy choice for each token, as in an answer.
  StepTrace decode(std::int64_t depth, std::int64_t count) {
    const std::vector<TokenId> tokens = some_tokens(1, model_.usable_tokens());
    run_.restart_at(std::max<std::int64_t>(depth - 1, 0));
    run_.read(tokens, {}, [](kernels::ConstTensor) {});
    Sampler sampler({}, model_.usable_tokens());
    std::vector<float> logits(static_cast<std::size_t>(model_.config().vocabulary));
    StepTrace trace(model_.config(), model_.weights());
    TokenId id = tokens.back();
    for (std::int64_t step = 0; step < count; ++step) {
      const auto start = Clock::now();
      const ForwardPiece piece{&run_.sequence(), {&id, 1}, {}, {}, {}};
      const kernels::ConstTensor hidden = run_.forward().run({&piece, 1}, RowKind::decode);
      run_.forward().logits(hidden, RowKind::decode, kernels::f32_view(logits.data(), {1, model_.config().vocabulary}));
      id = sampler.choose(logits, {});
      trace.add_decode(run_.sequence().position(), seconds_since(start));
    }
    return trace;
  }

 private:
  const Model& model_;
  ModelRun run_;
  Limits limits_;
};

/// "41 questions of 32 tokens at 20000: one by one 98.4 s (reading 13.9), together 40.1 s (reading 11.2), ratio 0.41".
void bench_forks(const Model& model, std::int64_t forks, const EngineOptions& options, std::ostream& out) {
  const auto first_or = [](const std::vector<std::int64_t>& values, std::int64_t usual) {
    return values.empty() ? usual : values.front();
  };
  ForkBenchRequest request;
  request.questions = forks;
  request.depth = first_or(options.integers("--depth", 0, most_tokens), 0);
  request.prompt = first_or(options.integers("--prompt", 1, most_tokens), 32);
  request.answer = first_or(options.integers("--generate", 1, most_tokens), 64);
  request.chunk = chunk;
  request.threads = static_cast<int>(options.integer("--threads", 1, most_threads).value_or(0));
  const ForkBenchResult result = bench_forks(model, request);
  if (options.has("--json")) {
    out << nlohmann::json{{"questions", request.questions},  {"depth", request.depth},
                          {"prompt", request.prompt},        {"written", result.written},
                          {"one_by_one_s", result.alone_s},  {"one_by_one_reading_s", result.alone_reading_s},
                          {"together_s", result.together_s}, {"together_reading_s", result.together_reading_s},
                          {"ratio", result.ratio()},         {"different_answers", result.different}}
               .dump()
        << '\n';
    return;
  }
  char line[256];
  std::snprintf(
      line, sizeof line,
      "%lld questions of %lld tokens at %lld, %lld tokens written: one by one %.2f s (reading %.2f), together "
      "%.2f s (reading %.2f), ratio %.2f; %lld answers differ\n",
      static_cast<long long>(request.questions), static_cast<long long>(request.prompt),
      static_cast<long long>(request.depth), static_cast<long long>(result.written), result.alone_s,
      result.alone_reading_s, result.together_s, result.together_reading_s, result.ratio(),
      static_cast<long long>(result.different));
  out << line;
}

}  // namespace

void bench(Arguments args, std::ostream& out, std::ostream&) {
  static constexpr std::string_view valued[] = {"--model", "--prompt", "--generate", "--depth", "--forks", "--threads"};
  static constexpr std::string_view flags[] = {"--json"};
  const EngineOptions options(args, valued, flags);
  if (!options.positional().empty())
    throw UsageError("bench: \"" + options.positional()[0] + "\" is one argument too many");
  if (const auto forks = options.integer("--forks", 1, most_questions)) {
    bench_forks(Model(find_model(options.text("--model").value_or(""))), *forks, options, out);
    return;
  }
  const auto or_else = [](std::vector<std::int64_t> values, std::vector<std::int64_t> usual) {
    return values.empty() ? usual : values;
  };
  const auto prompts = or_else(options.integers("--prompt", 1, most_tokens), {512});
  const auto generates = or_else(options.integers("--generate", 1, most_tokens), {64});
  const auto depths = or_else(options.integers("--depth", 0, most_tokens), {0});

  const Model model(find_model(options.text("--model").value_or("")));
  const auto largest = [](const std::vector<std::int64_t>& values) {
    return *std::max_element(values.begin(), values.end());
  };
  const std::int64_t window = largest(depths) + std::max(largest(prompts), largest(generates)) + 1;
  if (window > model.config().context_length)
    throw Error(ErrorKind::bad_request, "bench: depth and tokens together are " + std::to_string(window) +
                                            ", more than the window of " +
                                            std::to_string(model.config().context_length) + " the model was made for");
  Bench bench(model, window, static_cast<int>(options.integer("--threads", 1, most_threads).value_or(0)));

  nlohmann::json report{{"model", model.config().name},
                        {"quantization", model.config().quantization},
                        {"device", kernels::describe_cpu()},
                        {"threads", bench.stream().pool().size()}};
  report["limits"] = {{"read_gb_per_s", bench.limits().read_gb_per_s},
                      {"multiply_f32_gflop_per_s", bench.limits().peak.f32_gflop_per_s},
                      {"multiply_i8_gop_per_s", bench.limits().peak.i8_gop_per_s}};
  const bool as_json = options.has("--json");
  char line[256];
  if (!as_json) {
    out << model.config().name << ", " << model.config().quantization << ", " << kernels::describe_cpu() << ", "
        << bench.stream().pool().size() << " threads used\n";
    std::snprintf(line, sizeof line, "machine: reads %.1f GB/s, multiplies %.0f GFLOP/s (f32), %.0f GOP/s (8-bit)\n",
                  bench.limits().read_gb_per_s, bench.limits().peak.f32_gflop_per_s, bench.limits().peak.i8_gop_per_s);
    out << line << std::flush;
  }
  if (!as_json && largest(depths) > 0) out << "depths: keys and values filled with numbers, not read\n";
  if (largest(depths) > 0) report["keys_and_values"] = "filled";
  for (std::int64_t depth : depths) {
    for (std::int64_t prompt : prompts) {
      const StepTrace trace = bench.prefill(depth, prompt);
      const double fraction = trace.prefill_gflop_per_s() / bench.multiply_limit();
      report["prefill"].push_back({{"depth", depth},
                                   {"tokens", prompt},
                                   {"tokens_per_s", trace.prefill_tokens_per_s()},
                                   {"gflop_per_s", trace.prefill_gflop_per_s()},
                                   {"fraction_of_multiply_peak", fraction}});
      std::snprintf(line, sizeof line,
                    "prefill %6lld at %6lld: %9.1f tokens/s, %7.1f GFLOP/s, %3.0f %% of the multiply peak\n",
                    static_cast<long long>(prompt), static_cast<long long>(depth), trace.prefill_tokens_per_s(),
                    trace.prefill_gflop_per_s(), fraction * 100);
      if (!as_json) out << line << std::flush;
    }
    for (std::int64_t count : generates) {
      const StepTrace trace = bench.decode(depth, count);
      const double fraction = trace.decode_gb_per_s() / bench.limits().read_gb_per_s;
      report["decode"].push_back({{"depth", depth},
                                  {"tokens", count},
                                  {"tokens_per_s", trace.decode_tokens_per_s()},
                                  {"bytes_per_token", trace.bytes_per_token()},
                                  {"gb_per_s", trace.decode_gb_per_s()},
                                  {"fraction_of_read_bandwidth", fraction}});
      std::snprintf(
          line, sizeof line,
          "decode  %6lld at %6lld: %9.1f tokens/s, %7.1f MB per token, %.1f GB/s, %3.0f %% of the read bandwidth\n",
          static_cast<long long>(count), static_cast<long long>(depth), trace.decode_tokens_per_s(),
          static_cast<double>(trace.bytes_per_token()) * 1e-6, trace.decode_gb_per_s(), fraction * 100);
      if (!as_json) out << line << std::flush;
    }
  }
  if (as_json) out << report.dump() << '\n';
}

}  // namespace lectern::inference::commands
