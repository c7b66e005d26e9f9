#include "kernels/cuda/elementwise.h"
#include "tests/bench/cuda/entries.h"

namespace lectern::bench {

namespace {

using Pair = void (*)(cuda::Queue&, ConstTensor, ConstTensor, Tensor);

Entry pair(Bench& bench, const char* name, Pair operation, std::int64_t rows, std::int64_t columns, DType out_type) {
  return {name, times(rows, columns) + (out_type == DType::f32 ? ", f32 out" : ", bf16 out"), [=, &bench] {
            const std::int64_t n = rows * columns, bytes = n * (out_type == DType::f32 ? 12 : 10),
                               copies = bench.copies(bytes);
            const auto a = bench.floats(copies * n), b = bench.floats(copies * n), out = bench.memory(copies * 4 * n);
            return Timed{[=, &bench](std::int64_t round) {
                           operation(bench.queue(), view(a, round % copies, DType::f32, {n}),
                                     view(b, round % copies, DType::f32, {n}),
                                     view(out, round % copies, out_type, {n}));
                         },
                         d(bytes)};
          }};
}

}  // namespace

void add_elementwise_entries(Bench& bench, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  std::vector<std::int64_t> passes = m.prefill;
  passes.insert(passes.begin(), 1);
  for (const std::int64_t tokens : passes) {
    entries.push_back(pair(bench, "add", cuda::add, tokens, m.hidden, DType::f32));
    entries.push_back(pair(bench, "silu_multiply", cuda::silu_multiply, tokens, m.inner, DType::bf16));
    entries.push_back(
        pair(bench, "sigmoid_multiply", cuda::sigmoid_multiply, tokens, m.query_heads * m.head_dim, DType::bf16));
    entries.push_back(
        {"add_sigmoid_scaled", times(tokens, m.hidden), [&bench, tokens] {
           const std::int64_t h = bench.model().hidden, n = tokens * h, copies = bench.copies(12 * n);
           const auto x = bench.floats(copies * n), gate = bench.floats(tokens), out = bench.floats(copies * n);
           return Timed{[=, &bench](std::int64_t round) {
                          cuda::add_sigmoid_scaled(bench.queue(), view(x, round % copies, DType::f32, {tokens, h}),
                                                   view(gate, DType::f32, {tokens}),
                                                   view(out, round % copies, DType::f32, {tokens, h}));
                        },
                        d(12 * n)};
         }});
    entries.push_back(
        {"copy_columns",
         std::to_string(m.value_heads * m.delta_dim) + " of " + times(tokens, m.delta_channels()) + ", f32 out",
         [&bench, tokens] {
           const std::int64_t channels = bench.model().delta_channels(),
                              columns = bench.model().value_heads * bench.model().delta_dim, n = tokens * columns,
                              copies = bench.copies(8 * n);
           const auto x = bench.floats(copies * tokens * channels), out = bench.memory(copies * 4 * n);
           return Timed{[=, &bench](std::int64_t round) {
                          cuda::copy_columns(bench.queue(), view(x, round % copies, DType::f32, {tokens, channels}),
                                             channels - columns,
                                             view(out, round % copies, DType::f32, {tokens, columns}));
                        },
                        d(8 * n)};
         }});
    entries.push_back({"round_to_bf16", times(tokens, m.hidden), [&bench, tokens] {
                         const std::int64_t n = tokens * bench.model().hidden, copies = bench.copies(6 * n);
                         const auto x = bench.floats(copies * n), out = bench.memory(copies * 2 * n);
                         return Timed{[=, &bench](std::int64_t round) {
                                        cuda::round_to_bf16(bench.queue(), view(x, round % copies, DType::f32, {n}),
                                                            view(out, round % copies, DType::bf16, {n}));
                                      },
                                      d(6 * n)};
                       }});
  }
}

}  // namespace lectern::bench
