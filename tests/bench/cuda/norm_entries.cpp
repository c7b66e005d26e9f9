#include "kernels/cuda/rms_norm.h"
#include "tests/bench/cuda/entries.h"

namespace lectern::bench {

void add_norm_entries(Bench& bench, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  std::vector<std::int64_t> passes = m.prefill;
  passes.insert(passes.begin(), 1);
  for (const std::int64_t tokens : passes) {
    entries.push_back({"add_rms_norm", times(tokens, m.hidden) + ", bf16 out", [&bench, tokens] {
                         const std::int64_t h = bench.model().hidden, n = tokens * h, copies = bench.copies(14 * n);
                         const auto x = bench.floats(copies * n), stream = bench.floats(copies * n),
                                    w = bench.floats(h), out = bench.memory(copies * 2 * n);
                         return Timed{[=, &bench](std::int64_t round) {
                                        const Tensor sum = view(stream, round % copies, DType::f32, {tokens, h});
                                        cuda::add_rms_norm(bench.queue(),
                                                           view(x, round % copies, DType::f32, {tokens, h}), sum,
                                                           view(w, DType::f32, {h}), 1e-6f, sum,
                                                           view(out, round % copies, DType::bf16, {tokens, h}));
                                      },
                                      d(14 * n)};
                       }});
    entries.push_back({"gated_rms_norm", times(tokens * m.value_heads, m.delta_dim) + ", bf16 out", [&bench, tokens] {
                         const std::int64_t heads = bench.model().value_heads, dim = bench.model().delta_dim,
                                            rows = tokens * heads, n = rows * dim, copies = bench.copies(10 * n);
                         const auto o = bench.floats(copies * n), z = bench.floats(copies * n), w = bench.floats(dim),
                                    out = bench.memory(copies * 2 * n);
                         return Timed{[=, &bench](std::int64_t round) {
                                        cuda::gated_rms_norm(bench.queue(),
                                                             view(o, round % copies, DType::f32, {rows, dim}),
                                                             view(z, round % copies, DType::f32, {rows, dim}),
                                                             view(w, DType::f32, {dim}), 1e-6f,
                                                             view(out, round % copies, DType::bf16, {rows, dim}));
                                      },
                                      d(10 * n)};
                       }});
  }
}

}  // namespace lectern::bench
