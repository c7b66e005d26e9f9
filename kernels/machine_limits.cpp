// Each figure is the best of several passes: the machine's limit, not its mood.
#include "kernels/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/cpu/inner_loops.h"
#include "kernels/memory.h"

namespace lectern::kernels {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The work that `loop` reports, over all threads, per second.
template <class Loop>
double best_rate(Stream& stream, Loop loop) {
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    std::vector<double> done(static_cast<std::size_t>(stream.pool().size()) * 8, 0.0);  // a cache line for each
    const auto start = std::chrono::steady_clock::now();
    stream.pool().parallel_for(4 * stream.pool().size(), 1, [&](std::int64_t first, std::int64_t last, int worker) {
      for (std::int64_t i = first; i < last; ++i) done[static_cast<std::size_t>(worker) * 8] += loop();
    });
    const double seconds = seconds_since(start);
    double total = 0;
    for (const double work : done) total += work;
    best = std::max(best, total / seconds);
  }
  return best;
}

}  // namespace

double measure_read_gigabytes_per_s(Stream& stream) {
  constexpr std::int64_t bytes = std::int64_t{256} << 20, piece = std::int64_t{1} << 18;
  Buffer buffer(bytes);
  stream.pool().parallel_for(bytes / piece, 1, [&](std::int64_t first, std::int64_t last, int) {
    std::memset(buffer.data() + first * piece, 0, static_cast<std::size_t>((last - first) * piece));
  });
  const float* values = reinterpret_cast<const float*>(buffer.data());
  std::atomic<float> sink{0};
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    stream.pool().parallel_for(bytes / piece, 1, [&](std::int64_t first, std::int64_t last, int) {
      sink.store(stream.loops().read_stream(values + first * (piece / 4), (last - first) * (piece / 4)),
                 std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(bytes) / seconds_since(start));
  }
  return best / 1e9;
}

MultiplyPeak measure_multiply_peak(Stream& stream) {
  constexpr std::int64_t rounds = 200000;
  const cpu::InnerLoops& loops = stream.loops();
  MultiplyPeak peak;
  peak.f32_gflop_per_s = 2e-9 * best_rate(stream, [&] {
                           float sink = 0;
                           return loops.multiply_peak_f32(rounds, &sink);
                         });
  peak.i8_gop_per_s = 2e-9 * best_rate(stream, [&] {
                        std::int32_t sink = 1;
                        return loops.multiply_peak_i8(rounds, &sink);
                      });
  return peak;
}

}  // namespace lectern::kernels
