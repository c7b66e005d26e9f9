#include "kernels/cuda/sampling.h"
#include "tests/bench/cuda/entries.h"

namespace lectern::bench {

namespace {

Bench::Buffer samplers(Bench& bench, const cuda::SamplerState& state, std::int64_t count) {
  const auto buffer = bench.memory(count * cuda::sampler_words * 4);
  const std::vector<cuda::SamplerState> states(static_cast<std::size_t>(count), state);
  copy_to_device(bench.queue(), buffer->data(), states.data(), buffer->size_bytes());
  bench.queue().synchronize();
  return buffer;
}

/// Logits are hot in the second-level cache, as behind the product that wrote them. Penalties would change them at each
/// run and are left out.
Entry sample_entry(Bench& bench, const char* name, const cuda::SamplerState& state, std::int64_t rows) {
  return {"sample", times(rows, bench.model().vocabulary) + ", " + name, [=, &bench] {
            const std::int64_t v = bench.model().vocabulary, ring = 64;
            const auto logits = bench.floats(rows * v), states = samplers(bench, state, rows),
                       recent = bench.integers(std::vector<std::int32_t>(static_cast<std::size_t>(rows * ring), 1)),
                       chosen = bench.memory(rows * 4);
            return Timed{[=, &bench](std::int64_t) {
                           cuda::sample(bench.queue(), view(logits, DType::f32, {rows, v}), v,
                                        view(states, DType::i32, {rows, cuda::sampler_words}),
                                        view(recent, DType::i32, {rows, ring}), view(chosen, DType::i32, {rows}));
                         },
                         d(4 * rows * v)};
          }};
}

}  // namespace

void add_sampling_entries(Bench& bench, std::vector<Entry>& entries) {
  cuda::SamplerState top_k, top_p, all, flat;
  top_k.temperature = 0.7f, top_k.top_k = 20, top_k.top_p = 0.8f;
  top_p.temperature = 0.3f, top_p.top_p = 0.95f;
  all.temperature = 1.0f;
  flat.temperature = 2.0f, flat.top_p = 0.95f;
  for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{8}}) {
    entries.push_back(sample_entry(bench, "greedy", {}, rows));
    entries.push_back(sample_entry(bench, "top-k 20, top-p 0.8", top_k, rows));
    entries.push_back(sample_entry(bench, "top-p 0.95", top_p, rows));
    entries.push_back(sample_entry(bench, "no filter", all, rows));
  }
  entries.push_back(sample_entry(bench, "top-p 0.95, flat", flat, 1));
  entries.push_back({"verify_drafts", times(4, bench.model().vocabulary) + ", top-k 20, top-p 0.8", [top_k, &bench] {
                       const std::int64_t v = bench.model().vocabulary, ring = 64;
                       const auto logits = bench.floats(4 * v), state = samplers(bench, top_k, 1),
                                  recent = bench.integers(std::vector<std::int32_t>(64, 1)),
                                  drafts = bench.integers({1, 2, 3}), out = bench.memory(64);
                       return Timed{[=, &bench](std::int64_t) {
                                      const Tensor one(out->data() + 32, DType::i32, {1});
                                      const Tensor next(out->data() + 48, DType::i32, {1});
                                      cuda::verify_drafts(bench.queue(), view(logits, DType::f32, {4, v}), v,
                                                          view(drafts, DType::i32, {3}),
                                                          view(state, DType::i32, {1, cuda::sampler_words}),
                                                          view(recent, DType::i32, {1, ring}),
                                                          view(out, DType::i32, {4}), one, next);
                                    },
                                    d(16 * v)};
                     }});
}

}  // namespace lectern::bench
