#include <cmath>

#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/attention_prefill.h"
#include "kernels/cuda/norm_rotary_write.h"
#include "tests/bench/cuda/entries.h"

namespace lectern::bench {

namespace {

/// A layer's pages of `copies` sequences of `slots` tokens each.
struct Pages {
  std::int64_t slots, copies, pages;
  cuda::KvLayout layout;
  Bench::Buffer strips, tables, faults;

  Pages(Bench& bench, std::int64_t count, cuda::KvKind kind) : slots(count) {
    const Model& m = bench.model();
    layout = {m.kv_heads, m.head_dim, kind};
    pages = (slots + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
    copies = bench.copies(pages * layout.strip_bytes());
    // Random bf16, or bytes that are small scales too.
    strips = kind == cuda::KvKind::bf16
                 ? bench.halves(copies * pages * layout.strip_bytes() / 2)
                 : bench.weights(DType::q8_0, copies * pages * layout.strip_bytes() / 34 + 1, 32);
    std::vector<std::int32_t> numbers;
    for (std::int64_t copy = 0; copy < copies; ++copy)
      for (std::int64_t page = 0; page < pages; ++page)
        numbers.push_back(static_cast<std::int32_t>(copy * pages + (page * 7 + 3) % pages));
    tables = bench.integers(numbers);
    faults = bench.integers({0});
  }
  cuda::KvPages of(std::int64_t round) const {
    cuda::KvPages result;
    result.layout = layout;
    result.strips = strips->data();
    result.page_stride = layout.strip_bytes();
    result.page_count = copies * pages;
    result.tables = view(tables, round % copies, DType::i32, {1, pages});
    result.faults = view(faults, DType::i32, {1});
    return result;
  }
  /// Of keys and values of so many slots.
  double bytes(std::int64_t count) const { return d(layout.strip_bytes() / kernels::kv_page_tokens * count); }
};

const char* name(cuda::KvKind kind) {
  return kind == cuda::KvKind::bf16 ? "bf16" : "int8";
}

float scale_of(const Model& m) {
  return 1 / std::sqrt(static_cast<float>(m.head_dim));
}

Entry decode_entry(Bench& bench, std::int64_t tokens, std::int64_t context, cuda::KvKind kind) {
  const Model& m = bench.model();
  return {"attention_decode", std::to_string(tokens) + " token(s) at " + std::to_string(context) + ", KV " + name(kind),
          [=, &bench] {
            const auto pages = std::make_shared<Pages>(bench, context + tokens, kind);
            std::vector<std::int32_t> slots;
            for (std::int64_t token = 1; token <= tokens; ++token)
              slots.push_back(static_cast<std::int32_t>(context + token));
            const std::int64_t values = tokens * m.query_heads * m.head_dim;
            const auto q = bench.floats(values), out = bench.memory(4 * values), counts = bench.integers(slots);
            return Timed{[=, &bench](std::int64_t round) {
                           cuda::attention_decode(bench.queue(),
                                                  view(q, DType::f32, {tokens, m.query_heads, m.head_dim}),
                                                  pages->of(round), view(counts, DType::i32, {tokens}), scale_of(m), {},
                                                  view(out, DType::f32, {tokens, m.query_heads, m.head_dim}));
                         },
                         pages->bytes(context + tokens) + d(8 * values)};
          }};
}

Entry prefill_entry(Bench& bench, std::int64_t tokens, std::int64_t first, cuda::KvKind kind) {
  const Model& m = bench.model();
  return {"attention_prefill", std::to_string(tokens) + " tokens at " + std::to_string(first) + ", KV " + name(kind),
          [=, &bench] {
            const auto pages = std::make_shared<Pages>(bench, first + tokens, kind);
            const std::int64_t values = tokens * m.query_heads * m.head_dim;
            const auto q = bench.halves(values), out = bench.memory(2 * values),
                       slot = bench.integers({static_cast<std::int32_t>(first)});
            const double seen = d(tokens) * (d(first) + (d(tokens) + 1) / 2);
            return Timed{[=, &bench](std::int64_t round) {
                           cuda::attention_prefill(bench.queue(),
                                                   view(q, DType::bf16, {tokens, m.query_heads, m.head_dim}),
                                                   pages->of(round), view(slot, DType::i32, {1}), scale_of(m), {},
                                                   view(out, DType::bf16, {tokens, m.query_heads, m.head_dim}));
                         },
                         pages->bytes(first + tokens) + d(4 * values), 4 * seen * d(m.query_heads * m.head_dim)};
          }};
}

Entry write_entry(Bench& bench, std::int64_t tokens) {
  const Model& m = bench.model();
  return {"norm_rotary_write", std::to_string(tokens) + " token(s), KV bf16", [=, &bench] {
            const std::int64_t queries = tokens * m.query_heads * m.head_dim, keys = tokens * m.kv_heads * m.head_dim,
                               copies = bench.copies(12 * queries);
            const auto pages = std::make_shared<Pages>(bench, tokens, cuda::KvKind::bf16);
            std::vector<double> theta;
            for (std::int64_t i = 0; i < m.rotary / 2; ++i) theta.push_back(std::pow(1e7, -2 * d(i) / d(m.rotary)));
            const auto frequencies = std::make_shared<cuda::RotaryFrequencies>(bench.queue(), theta);
            std::vector<std::int32_t> places;
            for (std::int64_t token = 0; token < tokens; ++token) places.push_back(static_cast<std::int32_t>(token));
            const auto q = bench.floats(2 * copies * queries), k = bench.floats(copies * keys),
                       v = bench.floats(copies * keys), q_norm = bench.floats(m.head_dim),
                       k_norm = bench.floats(m.head_dim), positions = bench.integers(places),
                       out = bench.memory(2 * copies * queries);
            return Timed{[=, &bench](std::int64_t round) {
                           const std::int64_t copy = round % copies;
                           cuda::HeadTransform transform;
                           transform.q_norm = view(q_norm, DType::f32, {m.head_dim});
                           transform.k_norm = view(k_norm, DType::f32, {m.head_dim});
                           transform.eps = 1e-6f;
                           transform.frequencies = frequencies.get();
                           cuda::norm_rotary_write(
                               bench.queue(), view(q, copy, DType::f32, {tokens, m.query_heads, 2 * m.head_dim}),
                               view(k, copy, DType::f32, {tokens, m.kv_heads, m.head_dim}),
                               view(v, copy, DType::f32, {tokens, m.kv_heads, m.head_dim}), transform,
                               view(positions, DType::i32, {tokens}), view(positions, DType::i32, {tokens}),
                               pages->of(round), view(out, copy, DType::bf16, {tokens, m.query_heads, m.head_dim}));
                         },
                         d(6 * queries + 12 * keys)};
          }};
}

}  // namespace

void add_attention_entries(Bench& bench, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  for (const cuda::KvKind kind : {cuda::KvKind::bf16, cuda::KvKind::int8})
    for (const std::int64_t context : m.contexts)
      for (const std::int64_t tokens : m.decode) entries.push_back(decode_entry(bench, tokens, context, kind));
  for (const std::int64_t tokens : m.prefill) entries.push_back(prefill_entry(bench, tokens, 0, cuda::KvKind::bf16));
  for (const std::int64_t context : m.contexts)
    entries.push_back(prefill_entry(bench, m.prefill[0], context, cuda::KvKind::bf16));
  entries.push_back(write_entry(bench, 1));
  for (const std::int64_t tokens : m.prefill) entries.push_back(write_entry(bench, tokens));
}

}  // namespace lectern::bench
