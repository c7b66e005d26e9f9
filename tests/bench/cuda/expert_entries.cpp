#include <algorithm>
#include <random>

#include "kernels/cuda/moe_combine.h"
#include "kernels/cuda/moe_experts_decode.h"
#include "kernels/cuda/moe_experts_prefill.h"
#include "kernels/cuda/moe_route.h"
#include "kernels/cuda/moe_sort.h"
#include "tests/bench/cuda/entries.h"

namespace lectern::bench {

namespace {

/// Experts of `tokens` tokens, drawn anew for each of `copies` rounds; every token's are different ones.
std::vector<std::int32_t> draw_experts(const Model& m, std::int64_t tokens, std::int64_t copies) {
  std::mt19937 engine(3);
  std::vector<std::int32_t> all(static_cast<std::size_t>(m.experts)), result;
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(i);
  for (std::int64_t token = 0; token < copies * tokens; ++token) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(m.chosen); ++i)
      std::swap(all[i], all[i + engine() % (all.size() - i)]);
    result.insert(result.end(), all.begin(), all.begin() + m.chosen);
  }
  return result;
}

/// The gate, up and down matrices of all experts.
struct Experts {
  DType type, down_type;
  Bench::Buffer gate, up, down;
  std::int64_t expert_bytes = 0;

  Experts(Bench& bench, DType gate_type, DType of_down) : type(gate_type), down_type(of_down) {
    const Model& m = bench.model();
    gate = bench.weights(type, m.experts * m.inner, m.hidden);
    up = bench.weights(type, m.experts * m.inner, m.hidden);
    down = bench.weights(down_type, m.experts * m.hidden, m.inner);
    expert_bytes = 2 * m.inner * kernels::row_bytes(type, m.hidden) + m.hidden * kernels::row_bytes(down_type, m.inner);
  }
  ConstTensor gates(const Model& m) const { return view(gate, type, {m.experts, m.inner, m.hidden}); }
  ConstTensor ups(const Model& m) const { return view(up, type, {m.experts, m.inner, m.hidden}); }
  ConstTensor downs(const Model& m) const { return view(down, down_type, {m.experts, m.hidden, m.inner}); }
};

Entry decode_entry(Bench& bench, std::int64_t tokens) {
  const Model& m = bench.model();
  return {"moe_experts_decode",
          std::to_string(tokens) + " token(s), " + std::to_string(m.chosen) + " of " + std::to_string(m.experts) +
              " experts Q4_K, Q6_K down, and the shared one",
          [=, &bench] {
            const std::int64_t copies = 32, h = m.hidden, k = m.chosen;
            const Experts experts(bench, DType::q4_k, DType::q6_k);
            const std::vector<std::int32_t> drawn = draw_experts(m, tokens, copies);
            // Each expert that any of the tokens chose is read once.
            double distinct = 0;
            for (std::int64_t copy = 0; copy < copies; ++copy) {
              std::vector<std::int32_t> of_round(drawn.begin() + copy * tokens * k,
                                                 drawn.begin() + (copy + 1) * tokens * k);
              std::sort(of_round.begin(), of_round.end());
              distinct += d(std::unique(of_round.begin(), of_round.end()) - of_round.begin()) / d(copies);
            }
            const auto x = bench.floats(tokens * h), ids = bench.integers(drawn), weights = bench.floats(tokens * k),
                       out = bench.memory(4 * tokens * h), fault = bench.integers({0}),
                       gate = bench.weights(DType::q8_0, m.inner, h), up = bench.weights(DType::q8_0, m.inner, h),
                       down = bench.weights(DType::q8_0, h, m.inner), router = bench.floats(h);
            const double shared_bytes = d(gate->size_bytes() + up->size_bytes() + down->size_bytes());
            return Timed{[=, &bench](std::int64_t round) {
                           const cuda::SharedExpert shared{
                               view(gate, DType::q8_0, {m.inner, h}), view(up, DType::q8_0, {m.inner, h}),
                               view(down, DType::q8_0, {h, m.inner}), view(router, DType::f32, {1, h})};
                           const Tensor result = view(out, DType::f32, {tokens, h});
                           cuda::moe_experts_decode(bench.queue(), view(x, DType::f32, {tokens, h}), experts.gates(m),
                                                    experts.ups(m), experts.downs(m),
                                                    view(ids, round % copies, DType::i32, {tokens, k}),
                                                    view(weights, DType::f32, {tokens, k}), shared, {}, result,
                                                    view(fault, DType::i32, {1}));
                         },
                         distinct * d(experts.expert_bytes) + shared_bytes + d(8 * tokens * h)};
          }};
}

void add_prefill_entries(Bench& bench, std::int64_t tokens, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  const std::int64_t h = m.hidden, k = m.chosen, pairs = tokens * k;
  const std::string shape =
      std::to_string(tokens) + " tokens, " + std::to_string(k) + " of " + std::to_string(m.experts) + " experts";
  const auto order_memory = [=, &bench] {
    const std::int64_t values = cuda::expert_order_values(tokens, k, m.experts);
    return std::pair(bench.memory(4 * values), values);
  };
  entries.push_back({"moe_sort", shape, [=, &bench] {
                       const auto [memory, values] = order_memory();
                       const auto order = cuda::expert_order(view(memory, DType::i32, {values}), tokens, k, m.experts);
                       const auto ids = bench.integers(draw_experts(m, tokens, 1)), fault = bench.integers({0});
                       return Timed{[=, &bench, keep = memory](std::int64_t) {
                                      cuda::moe_sort(bench.queue(), view(ids, DType::i32, {tokens, k}), m.experts,
                                                     order, view(fault, DType::i32, {1}));
                                    },
                                    d(3 * 4 * pairs)};
                     }});
  for (const DType type : {DType::q4_k, DType::bf16})
    entries.push_back(
        {"moe_experts_prefill", shape + " " + kernels::name(type), [=, &bench] {
           const auto [memory, values] = order_memory();
           const auto order = cuda::expert_order(view(memory, DType::i32, {values}), tokens, k, m.experts);
           const auto ids = bench.integers(draw_experts(m, tokens, 1)), fault = bench.integers({0}),
                      x = bench.halves(tokens * h), rows = bench.memory(2 * pairs * h);
           const Experts experts(bench, type, type);
           cuda::moe_sort(bench.queue(), view(ids, DType::i32, {tokens, k}), m.experts, order,
                          view(fault, DType::i32, {1}));
           bench.queue().synchronize();
           return Timed{[=, &bench, keep = memory](std::int64_t) {
                          cuda::moe_experts_prefill(bench.queue(), view(x, DType::bf16, {tokens, h}), experts.gates(m),
                                                    experts.ups(m), experts.downs(m), order,
                                                    view(rows, DType::bf16, {pairs, h}));
                        },
                        d(m.experts * experts.expert_bytes) + d(2 * (tokens + pairs) * h + 4 * pairs * m.inner),
                        6 * d(pairs) * d(m.inner * h)};
         }});
  entries.push_back({"moe_combine", shape, [=, &bench] {
                       const auto [memory, values] = order_memory();
                       const auto order = cuda::expert_order(view(memory, DType::i32, {values}), tokens, k, m.experts);
                       const auto ids = bench.integers(draw_experts(m, tokens, 1)), fault = bench.integers({0}),
                                  rows = bench.halves(pairs * h), weights = bench.floats(pairs),
                                  shared = bench.floats(tokens * h), gate = bench.floats(tokens),
                                  residual = bench.floats(tokens * h), out = bench.memory(4 * tokens * h);
                       cuda::moe_sort(bench.queue(), view(ids, DType::i32, {tokens, k}), m.experts, order,
                                      view(fault, DType::i32, {1}));
                       bench.queue().synchronize();
                       return Timed{[=, &bench, keep = memory](std::int64_t) {
                                      cuda::moe_combine(
                                          bench.queue(), view(rows, DType::bf16, {pairs, h}), order,
                                          view(weights, DType::f32, {tokens, k}), view(shared, DType::f32, {tokens, h}),
                                          view(gate, DType::f32, {tokens}), view(residual, DType::f32, {tokens, h}),
                                          view(out, DType::f32, {tokens, h}));
                                    },
                                    d(2 * pairs * h + 12 * tokens * h)};
                     }});
}

void add_route_entries(Bench& bench, std::int64_t tokens, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  entries.push_back({"moe_route", times(tokens, m.experts), [=, &bench] {
                       const auto logits = bench.floats(tokens * m.experts),
                                  experts = bench.memory(4 * tokens * m.chosen),
                                  weights = bench.memory(4 * tokens * m.chosen);
                       return Timed{[=, &bench](std::int64_t) {
                                      cuda::moe_route(bench.queue(), view(logits, DType::f32, {tokens, m.experts}),
                                                      true, view(experts, DType::i32, {tokens, m.chosen}),
                                                      view(weights, DType::f32, {tokens, m.chosen}));
                                    },
                                    d(tokens * (4 * m.experts + 8 * m.chosen))};
                     }});
  if (tokens > cuda::route_project_tokens) return;
  entries.push_back(
      {"moe_route_project", times(tokens, m.hidden) + ", " + std::to_string(m.experts) + " experts F32", [=, &bench] {
         const std::int64_t values = m.experts * m.hidden, copies = bench.copies(4 * values);
         const auto x = bench.floats(tokens * m.hidden), router = bench.floats(copies * values),
                    experts = bench.memory(4 * tokens * m.chosen), weights = bench.memory(4 * tokens * m.chosen);
         return Timed{[=, &bench](std::int64_t round) {
                        cuda::moe_route_project(bench.queue(), view(x, DType::f32, {tokens, m.hidden}),
                                                view(router, round % copies, DType::f32, {m.experts, m.hidden}), true,
                                                view(experts, DType::i32, {tokens, m.chosen}),
                                                view(weights, DType::f32, {tokens, m.chosen}));
                      },
                      d(4 * values)};
       }});
}

}  // namespace

void add_expert_entries(Bench& bench, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  for (const std::int64_t tokens : m.decode) {
    add_route_entries(bench, tokens, entries);
    entries.push_back(decode_entry(bench, tokens));
  }
  for (const std::int64_t tokens : m.prefill) {
    add_route_entries(bench, tokens, entries);
    add_prefill_entries(bench, tokens, entries);
  }
}

}  // namespace lectern::bench
