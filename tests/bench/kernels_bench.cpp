// Speed of the kernels at the sizes of real models, beside this machine's own limits (printed first).
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <vector>

#include "kernels/attention_decode.h"
#include "kernels/attention_prefill.h"
#include "kernels/delta_rule.h"
#include "kernels/elementwise.h"
#include "kernels/machine_limits.h"
#include "kernels/matmul.h"
#include "kernels/matvec.h"
#include "kernels/memory.h"

namespace lectern::kernels {
namespace {

constexpr std::int64_t from_memory = std::int64_t{64} << 20, from_cache = std::int64_t{512} << 10;

Stream& stream() {
  static Stream one;
  return one;
}

/// Weights of valid bytes: every scale 2^-7, every quant 0x55 or alike.
Buffer weights(DType type, std::int64_t rows, std::int64_t columns) {
  Buffer buffer(rows * row_bytes(type, columns));
  for (std::int64_t i = 0; i < buffer.size_bytes(); i += 2) {
    buffer.data()[i] = std::byte{0x55};
    if (i + 1 < buffer.size_bytes()) buffer.data()[i + 1] = std::byte{0x20};
  }
  return buffer;
}

Buffer floats(std::int64_t n) {
  Buffer buffer(n * 4);
  float* values = reinterpret_cast<float*>(buffer.data());
  for (std::int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(i % 17 - 8) / 8;
  return buffer;
}

/// `size` bytes of weights: more than the caches hold, as when a model is decoded, or few, to see the arithmetic alone.
void matvec_reads(benchmark::State& state, DType type, std::int64_t size, bool packed) {
  const std::int64_t k = state.range(0), rows = size / row_bytes(type, k) / 16 * 16;
  Buffer w = weights(type, rows, k), x = floats(k), out(rows * 4);
  ConstTensor matrix(w.data(), type, {rows, k});
  matrix.packed = packed;
  for (auto _ : state) matvec(stream(), {x.data(), DType::f32, {1, k}}, matrix, {out.data(), DType::f32, {1, rows}});
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(w.size_bytes()) * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void matmul_multiplies(benchmark::State& state, DType type) {
  const std::int64_t rows = state.range(0), n = state.range(1), k = state.range(2);
  Buffer w = weights(type, n, k), x = floats(rows * k), out(rows * n * 4);
  for (auto _ : state)
    matmul(stream(), {x.data(), DType::f32, {rows, k}}, {w.data(), type, {n, k}}, {out.data(), DType::f32, {rows, n}});
  state.counters["GOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(rows) * static_cast<double>(n * k),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

struct Heads {
  std::int64_t query, kv, dim;
};

void attention(benchmark::State& state, std::int64_t tokens, Heads heads) {
  const std::int64_t slots = state.range(0), query_heads = heads.query, dim = heads.dim;
  const KvShape shape{heads.kv, dim, DType::bf16};
  std::vector<Buffer> pages;
  std::vector<std::byte*> strips;
  for (std::int64_t page = 0; page * kv_page_tokens < slots; ++page) {
    pages.push_back(weights(DType::bf16, shape.strip_bytes() / 2, 1));  // written, or all pages would be one of zeros
    strips.push_back(pages.back().data());
  }
  Buffer q = floats(tokens * query_heads * dim), out(tokens * query_heads * dim * 4);
  for (auto _ : state) {
    if (tokens == 1)
      attention_decode(stream(), {q.data(), DType::f32, {query_heads, dim}}, shape, strips, slots, 0.125f,
                       {out.data(), DType::f32, {query_heads, dim}});
    else
      attention_prefill(stream(), {q.data(), DType::f32, {tokens, query_heads, dim}}, shape, strips, slots - tokens,
                        0.125f, {out.data(), DType::f32, {tokens, query_heads, dim}});
  }
  const double seen = static_cast<double>(tokens) * (static_cast<double>(slots) - static_cast<double>(tokens - 1) / 2);
  state.counters["GFLOP/s"] = benchmark::Counter(4e-9 * static_cast<double>(query_heads * dim) * seen,
                                                 benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * static_cast<double>(slots * shape.heads * dim * 4),
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void delta_rule_steps(benchmark::State& state) {
  const std::int64_t tokens = state.range(0), key_heads = 16, value_heads = 32, dim = 128;  // Qwen3-Next
  Buffer q = floats(tokens * key_heads * dim), v = floats(tokens * value_heads * dim), g(tokens * value_heads * 4);
  Buffer s(value_heads * dim * dim * 4), out(tokens * value_heads * dim * 4);
  for (auto _ : state)
    delta_rule(stream(), {q.data(), DType::f32, {tokens, key_heads, dim}},
               {q.data(), DType::f32, {tokens, key_heads, dim}}, {v.data(), DType::f32, {tokens, value_heads, dim}},
               {g.data(), DType::f32, {tokens, value_heads}}, {g.data(), DType::f32, {tokens, value_heads}},
               DeltaHeads::grouped, {}, {s.data(), DType::f32, {value_heads, dim, dim}}, {}, {},
               {out.data(), DType::f32, {tokens, value_heads, dim}});
  state.counters["GFLOP/s"] = benchmark::Counter(7e-9 * static_cast<double>(tokens * value_heads * dim * dim),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void silu(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  Buffer a = floats(n), b = floats(n), out(n * 4);
  for (auto _ : state)
    silu_multiply(stream(), {a.data(), DType::f32, {n}}, {b.data(), DType::f32, {n}}, {out.data(), DType::f32, {n}});
  state.counters["GB/s"] =
      benchmark::Counter(12e-9 * static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
}

void empty_loop(benchmark::State& state) {
  for (auto _ : state) stream().pool().parallel_for(64, 1, [](std::int64_t, std::int64_t, int) {});
}

void register_all() {
  for (const DType type :
       {DType::f32, DType::bf16, DType::q4_0, DType::q4_1, DType::q8_0, DType::q4_k, DType::q5_k, DType::q6_k}) {
    const std::string of = name(type);
    for (const bool packed : {false, true}) {
      if (packed && !is_quantized(type)) continue;
      const std::string form = packed ? "_packed/" : "/";
      benchmark::RegisterBenchmark(("matvec" + form + of).c_str(), matvec_reads, type, from_memory, packed)
          ->Arg(2048)
          ->UseRealTime();
      benchmark::RegisterBenchmark(("matvec_cached" + form + of).c_str(), matvec_reads, type, from_cache, packed)
          ->Arg(2048)
          ->UseRealTime();
    }
    benchmark::RegisterBenchmark(("matmul/" + of).c_str(), matmul_multiplies, type)
        ->Args({512, 1536, 512})
        ->UseRealTime();
  }
  // SmolLM2-135M: the feed-forward network.
  benchmark::RegisterBenchmark("matvec/Q4_1/576", matvec_reads, DType::q4_1, from_memory, true)
      ->Arg(576)
      ->UseRealTime();
  benchmark::RegisterBenchmark("matmul/Q4_1", matmul_multiplies, DType::q4_1)
      ->Args({512, 1536, 576})
      ->Args({512, 576, 1536})
      ->Args({64, 1536, 576})
      ->UseRealTime();
  const Heads small{9, 3, 64}, next{16, 2, 256};  // SmolLM2-135M, Qwen3-Next
  benchmark::RegisterBenchmark("attention_prefill", attention, 512, small)->Arg(512)->Arg(4096)->UseRealTime();
  benchmark::RegisterBenchmark("attention_decode", attention, 1, small)->Arg(256)->Arg(4096)->UseRealTime();
  benchmark::RegisterBenchmark("attention_prefill/next", attention, 512, next)->Arg(512)->Arg(8192)->UseRealTime();
  benchmark::RegisterBenchmark("attention_decode/next", attention, 1, next)->Arg(256)->Arg(32768)->UseRealTime();
  benchmark::RegisterBenchmark("delta_rule", delta_rule_steps)->Arg(1)->Arg(64)->UseRealTime();
  benchmark::RegisterBenchmark("silu_multiply", silu)->Arg(1536)->Arg(1536 * 512)->UseRealTime();
  benchmark::RegisterBenchmark("empty_loop", empty_loop)->UseRealTime();
}

}  // namespace
}  // namespace lectern::kernels

int main(int count, char** arguments) {
  using namespace lectern::kernels;
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 2;
  const MultiplyPeak peak = measure_multiply_peak(stream());
  std::printf("%s: read %.1f GB/s, f32 %.0f GFLOP/s, int8 %.0f GOP/s\n", describe_cpu().c_str(),
              measure_read_gigabytes_per_s(stream()), peak.f32_gflop_per_s, peak.i8_gop_per_s);
  register_all();
  benchmark::RunSpecifiedBenchmarks();
}
