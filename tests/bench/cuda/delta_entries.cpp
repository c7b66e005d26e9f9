#include <cmath>

#include "kernels/cuda/delta_inputs.h"
#include "kernels/cuda/delta_rule.h"
#include "kernels/cuda/delta_step.h"
#include "tests/bench/cuda/entries.h"

namespace lectern::bench {

namespace {

using kernels::DeltaHeads;

/// q, k, v, gates and output of `tokens` tokens.
struct Rows {
  std::int64_t tokens, key_heads, value_heads, dim;
  DType type;
  Bench::Buffer q, k, v, g, beta, out;

  Rows(Bench& bench, std::int64_t count, DType of)
      : tokens(count),
        key_heads(bench.model().key_heads),
        value_heads(bench.model().value_heads),
        dim(bench.model().delta_dim),
        type(of),
        q(bench.weights(of, count * key_heads, dim)),
        k(bench.weights(of, count * key_heads, dim)),
        v(bench.weights(of, count * value_heads, dim)),
        g(constant(bench, count * value_heads, -0.05f)),
        beta(constant(bench, count * value_heads, 0.01f)),  // keys are not of length 1 here: the state must not grow
        out(bench.memory(4 * count * value_heads * dim)) {}
  static Bench::Buffer constant(Bench& bench, std::int64_t count, float value) {
    const auto buffer = bench.memory(4 * count);
    const std::vector<float> values(static_cast<std::size_t>(count), value);
    copy_to_device(bench.queue(), buffer->data(), values.data(), 4 * count);
    bench.queue().synchronize();
    return buffer;
  }
  Tensor keys(const Bench::Buffer& x) const { return view(x, type, {tokens, key_heads, dim}); }
  Tensor values(const Bench::Buffer& x) const { return view(x, type, {tokens, value_heads, dim}); }
  Tensor gates(const Bench::Buffer& x) const { return view(x, DType::f32, {tokens, value_heads}); }
  Tensor output() const { return view(out, DType::f32, {tokens, value_heads, dim}); }
  double bytes() const {
    const std::int64_t size = type == DType::f32 ? 4 : 2;
    return d(tokens * ((2 * key_heads + value_heads) * dim * size + value_heads * (8 + 4 * dim)));
  }
};

Entry inputs_entry(Bench& bench, std::int64_t tokens, DType type) {
  const Model& m = bench.model();
  return {"delta_inputs", times(tokens, m.delta_channels()) + (type == DType::f32 ? ", f32 out" : ", bf16 out"),
          [=, &bench] {
            const std::int64_t c = m.delta_channels(), copies = bench.copies(6 * tokens * c);
            const auto rows = std::make_shared<Rows>(bench, tokens, type);
            const auto x = bench.floats(copies * tokens * c), a = bench.floats(tokens * m.value_heads),
                       b = bench.floats(tokens * m.value_heads), conv = bench.floats(c * m.convolution),
                       decay = Rows::constant(bench, m.value_heads, -1), bias = bench.floats(m.value_heads),
                       state = bench.floats((m.convolution - 1) * c);
            return Timed{[=, &bench](std::int64_t round) {
                           cuda::delta_inputs(
                               bench.queue(),
                               {view(x, round % copies, DType::f32, {tokens, c}), rows->gates(a), rows->gates(b)},
                               {view(conv, DType::f32, {c, m.convolution}), view(decay, DType::f32, {m.value_heads}),
                                view(bias, DType::f32, {m.value_heads})},
                               {1e-6f, 1 / std::sqrt(static_cast<float>(m.delta_dim))},
                               view(state, DType::f32, {m.convolution - 1, c}), {}, {},
                               {rows->keys(rows->q), rows->keys(rows->k), rows->values(rows->v), rows->gates(rows->g),
                                rows->gates(rows->beta)});
                         },
                         d(tokens * (c * (type == DType::f32 ? 8 : 6) + 16 * m.value_heads))};
          }};
}

Entry step_entry(Bench& bench, std::int64_t tokens) {
  const Model& m = bench.model();
  return {"delta_step",
          std::to_string(tokens) + " token(s), " + std::to_string(m.value_heads) + " states of " +
              times(m.delta_dim, m.delta_dim),
          [=, &bench] {
            const std::int64_t values = m.value_heads * m.delta_dim * m.delta_dim, copies = bench.copies(4 * values);
            const auto rows = std::make_shared<Rows>(bench, tokens, DType::f32);
            const auto states = Rows::constant(bench, copies * values, 0.01f);
            return Timed{[=, &bench](std::int64_t round) {
                           cuda::delta_step(
                               bench.queue(), rows->keys(rows->q), rows->keys(rows->k), rows->values(rows->v),
                               rows->gates(rows->g), rows->gates(rows->beta), DeltaHeads::grouped,
                               view(states, round % copies, DType::f32, {m.value_heads, m.delta_dim, m.delta_dim}),
                               rows->output());
                         },
                         rows->bytes() + d(8 * values)};
          }};
}

Entry rule_entry(Bench& bench, std::int64_t tokens) {
  const Model& m = bench.model();
  return {
      "delta_rule",
      std::to_string(tokens) + " tokens, " + std::to_string(m.value_heads) + " heads of " + std::to_string(m.delta_dim),
      [=, &bench] {
        const std::int64_t values = m.value_heads * m.delta_dim * m.delta_dim;
        const auto rows = std::make_shared<Rows>(bench, tokens, DType::bf16);
        const auto state = Rows::constant(bench, values, 0.01f);
        return Timed{[=, &bench](std::int64_t) {
                       cuda::delta_rule(bench.queue(), rows->keys(rows->q), rows->keys(rows->k), rows->values(rows->v),
                                        rows->gates(rows->g), rows->gates(rows->beta), DeltaHeads::grouped, {},
                                        view(state, DType::f32, {m.value_heads, m.delta_dim, m.delta_dim}), {}, {},
                                        rows->output());
                     },
                     rows->bytes() + d(8 * values),
                     // As published times are counted: 5.85 MFLOP a token and layer of 32 heads of 128.
                     d(tokens) * 5.85e6 * d(values) / (32.0 * 128 * 128), false};
      }};
}

}  // namespace

void add_delta_entries(Bench& bench, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  for (const std::int64_t tokens : m.decode) {
    entries.push_back(inputs_entry(bench, tokens, DType::f32));
    entries.push_back(step_entry(bench, tokens));
  }
  for (const std::int64_t tokens : m.prefill) {
    entries.push_back(inputs_entry(bench, tokens, DType::bf16));
    entries.push_back(rule_entry(bench, tokens));
  }
}

}  // namespace lectern::bench
