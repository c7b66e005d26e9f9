// Times of the CUDA operations at the sizes of Qwen3-Next-80B-A3B, beside what the same device reaches in the same run:
// the rate of a copy in its memory, and cuBLAS's product of bf16 matrices. Prints a table; --results FOLDER also writes
// it as Markdown and the numbers as JSON. --tiny: small shapes, to see that everything runs (the emulator).
//
// An operation is recorded in a graph many times over and the graph is timed with events, so that launches cost what
// they cost in the engine; five times, of which the median counts. The graph goes through copies of the data that
// together are larger than the second-level cache, but for logits, which are there when they are sampled.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/error.h"
#include "tests/bench/cuda/entries.h"
#include "tests/gpu/device_limits.h"
#include "tests/gpu/device_timer.h"

namespace lectern::bench {
namespace {

struct Options {
  bool tiny = false;
  std::string filter, results, commit = "unknown", driver;
  double limit_s = 1e9;
};

struct Limits {
  double copy_bytes_per_s = 0, matrix_flops_per_s = 0;
};

struct Result {
  std::string operation, shape;
  double seconds = 0, bytes = 0, flops = 0;
  std::string problem;  // not empty: it has no time

  bool is_arithmetic(const Limits& limits) const {
    return flops > 0 && limits.matrix_flops_per_s > 0 &&
           (limits.copy_bytes_per_s <= 0 || flops / limits.matrix_flops_per_s > bytes / limits.copy_bytes_per_s);
  }
  /// Of the time that the limits allow; 0: unknown.
  double fraction(const Limits& limits) const {
    if (!problem.empty() || seconds <= 0) return 0;
    if (is_arithmetic(limits)) return flops / limits.matrix_flops_per_s / seconds;
    return limits.copy_bytes_per_s > 0 ? bytes / limits.copy_bytes_per_s / seconds : 0;
  }
};

/// Seconds that one run takes.
double time_of(Bench& bench, const Timed& timed, bool tiny) {
  cuda::Queue& queue = bench.queue();
  gpu_tests::DeviceTimer timer(queue);
  timed.run(0);  // loads the kernels and lets the workspace grow
  queue.synchronize();
  timer.start();
  timed.run(1);
  const double first = std::max(1e-6, timer.stop_seconds());
  const std::int64_t runs = tiny ? 2 : std::clamp<std::int64_t>(static_cast<std::int64_t>(0.02 / first), 4, 256);
  const auto work = [&] {
    for (std::int64_t round = 0; round < runs; ++round) timed.run(round);
  };
  cuda::Graph graph;
  if (timed.in_graph) graph = queue.capture(work);
  const auto once = [&] { timed.in_graph ? queue.launch(graph) : work(); };
  once();
  std::array<double, 5> times;
  for (double& time : times) {
    timer.start();
    once();
    time = timer.stop_seconds() / static_cast<double>(runs);
  }
  std::sort(times.begin(), times.end());
  return times[2];
}

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string table_row(const Result& result, const Limits& limits) {
  std::string row = "| " + result.operation + " | " + result.shape + " | ";
  if (!result.problem.empty()) return row + result.problem + " | | | |";
  row += number(result.seconds * 1e6, 1) + " | " + number(result.bytes / result.seconds * 1e-9, 0) + " | ";
  row += result.flops > 0 ? number(result.flops / result.seconds * 1e-12, 2) : std::string();
  const double fraction = result.fraction(limits);
  row += " | " + (fraction > 0 ? number(100 * fraction, 0) + " % of " +
                                     (result.is_arithmetic(limits) ? "the product" : "the copy")
                               : std::string());
  return row + " |";
}

constexpr const char* table_head =
    "| operation | shape | us | GB/s | TFLOP/s | of the limit |\n|---|---|---:|---:|---:|---|";

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return result + "\"";
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

std::string head(const cuda::Queue& queue, const Options& options, const Limits& limits) {
  const cuda::DeviceProperties& device = queue.device();
  std::string text = device.name + ", compute capability " + std::to_string(device.compute_major) + "." +
                     std::to_string(device.compute_minor) + ", " + std::to_string(device.multiprocessors) +
                     " multiprocessors, " + number(static_cast<double>(device.memory_bytes) / (1 << 30), 0) +
                     " GiB. CUDA: " + gpu_tests::cuda_versions();
  if (!options.driver.empty()) text += "; driver " + options.driver;
  text += ". Commit " + options.commit + ".\n";
  text += "A copy moves " + number(limits.copy_bytes_per_s * 1e-9, 0) + " GB/s (read and written); cuBLAS multiplies " +
          (limits.matrix_flops_per_s > 0 ? number(limits.matrix_flops_per_s * 1e-12, 0) + " TFLOP/s in bf16"
                                         : std::string("nothing: the library was not found")) +
          ".";
  return text;
}

std::string json(const cuda::Queue& queue, const Options& options, const Limits& limits,
                 const std::vector<Result>& results) {
  const cuda::DeviceProperties& device = queue.device();
  std::string text = "{\n  \"date\": " + quoted(today()) + ",\n  \"device\": " + quoted(device.name) +
                     ",\n  \"compute_capability\": \"" + std::to_string(device.compute_major) + "." +
                     std::to_string(device.compute_minor) + "\",\n  \"cuda\": " + quoted(gpu_tests::cuda_versions()) +
                     ",\n  \"driver\": " + quoted(options.driver) + ",\n  \"commit\": " + quoted(options.commit) +
                     ",\n  \"copy_gb_per_s\": " + number(limits.copy_bytes_per_s * 1e-9, 1) +
                     ",\n  \"matrix_tflop_per_s\": " + number(limits.matrix_flops_per_s * 1e-12, 1) +
                     ",\n  \"results\": [";
  const char* separator = "\n";
  for (const Result& result : results) {
    text += separator;
    text += "    {\"operation\": " + quoted(result.operation) + ", \"shape\": " + quoted(result.shape);
    if (result.problem.empty())
      text += ", \"us\": " + number(result.seconds * 1e6, 3) + ", \"bytes\": " + number(result.bytes, 0) +
              ", \"flops\": " + number(result.flops, 0) + ", \"fraction\": " + number(result.fraction(limits), 4);
    else
      text += ", \"problem\": " + quoted(result.problem);
    text += "}";
    separator = ",\n";
  }
  return text + "\n  ]\n}\n";
}

std::vector<Entry> all_entries(Bench& bench) {
  std::vector<Entry> entries;
#define LECTERN_FAMILY(name) add_##name##_entries(bench, entries);
  LECTERN_BENCH_FAMILIES
#undef LECTERN_FAMILY
  return entries;
}

void write_results(const cuda::Queue& queue, const Options& options, const Limits& limits,
                   const std::vector<Result>& results) {
  std::string name = queue.device().name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '-';
  const std::string base = options.results + "/" + today() + "-" + name + "-kernels";
  std::ofstream markdown(base + ".md"), data(base + ".json");
  markdown << "# CUDA kernels, " << queue.device().name << ", " << today() << "\n\n"
           << head(queue, options, limits) << "\n\n"
           << table_head << "\n";
  for (const Result& result : results) markdown << table_row(result, limits) << "\n";
  data << json(queue, options, limits, results);
  markdown.close();
  data.close();
  if (!markdown || !data) throw Error(ErrorKind::bad_file, "the results cannot be written to " + options.results);
  std::printf("written: %s.md and .json\n", base.c_str());
}

int run(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto is_late = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > options.limit_s;
  };
  if (!cuda::has_device()) throw Error(ErrorKind::device, "there is no CUDA device of compute capability 8.0 or more");
  cuda::Queue queue;
  const Limits limits{
      gpu_tests::measure_copy_bytes_per_s(queue, options.tiny ? std::int64_t{1} << 20 : std::int64_t{1} << 30),
      options.tiny ? 0 : gpu_tests::measure_matrix_flops_per_s(queue, 8192)};
  Bench bench(queue, options.tiny ? Model::tiny() : Model());
  std::printf("%s\n\n%s\n", head(queue, options, limits).c_str(), table_head);
  std::vector<Result> results;
  int problems = 0;
  for (const Entry& entry : all_entries(bench)) {
    if (entry.operation.find(options.filter) == std::string::npos) continue;
    Result result{entry.operation, entry.shape, 0, 0, 0, {}};
    if (is_late()) {
      result.problem = "not run: the time was up";
    } else {
      try {
        const Timed timed = entry.prepare();
        result.bytes = timed.bytes;
        result.flops = timed.flops;
        result.seconds = time_of(bench, timed, options.tiny);
      } catch (const Error& error) {
        result.problem = error.what();
        ++problems;
      }
    }
    std::printf("%s\n", table_row(result, limits).c_str());
    std::fflush(stdout);
    results.push_back(result);
  }
  if (!options.results.empty()) write_results(queue, options, limits, results);
  return problems == 0 ? 0 : 1;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) throw Error(ErrorKind::bad_request, std::string(name) + " needs a value");
      return argv[++i];
    };
    if (name == "--tiny")
      options.tiny = true;
    else if (name == "--filter")
      options.filter = value();
    else if (name == "--results")
      options.results = value();
    else if (name == "--commit")
      options.commit = value();
    else if (name == "--driver")
      options.driver = value();
    else if (name == "--limit")
      options.limit_s = std::atof(value().c_str());
    else
      throw Error(ErrorKind::bad_request,
                  "usage: [--tiny] [--filter TEXT] [--results FOLDER] [--commit ID] [--driver VERSION] "
                  "[--limit SECONDS], not " +
                      std::string(name));
  }
  return options;
}

}  // namespace
}  // namespace lectern::bench

int main(int argc, char** argv) {
  try {
    return lectern::bench::run(lectern::bench::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_kernels_bench: %s\n", error.what());
    return 2;
  }
}
