// moe_route and moe_experts.
#include <algorithm>
#include <numeric>

#include "kernel_test.h"
#include "kernels/error.h"
#include "kernels/matmul.h"
#include "kernels/moe_experts.h"
#include "kernels/moe_route.h"

namespace lectern::kernels::test {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

TEST(MoeRoute, ChoosesTheLargestInOrderWithTiesToTheLowerIndex) {
  on_every_path([](Stream& stream) {
    for (const bool normalize : {false, true}) {
      const std::int64_t tokens = 5, count = 37, chosen = 6;
      std::vector<float> logits = Random(1).normals(tokens * count, 2);
      for (std::int64_t e : {3, 9, 20}) logits[at(e)] = 9;  // a tie in the first row
      std::vector<std::int32_t> experts(at(tokens * chosen), -1);
      Guarded weights(tokens * chosen);
      moe_route(stream, f32_view(logits.data(), {tokens, count}), normalize,
                {experts.data(), DType::i32, {tokens, chosen}}, f32_view(weights.data(), {tokens, chosen}));
      EXPECT_EQ(experts[0], 3);
      EXPECT_EQ(experts[1], 9);
      EXPECT_EQ(experts[2], 20);
      for (std::int64_t t = 0; t < tokens; ++t) {
        const float* row = logits.data() + t * count;
        std::vector<std::int32_t> order(at(count));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return row[a] > row[b]; });
        double total = 0, best = 0;
        for (std::int64_t e = 0; e < count; ++e) total += std::exp(static_cast<double>(row[e]));
        for (std::int64_t i = 0; i < chosen; ++i) best += std::exp(static_cast<double>(row[order[at(i)]])) / total;
        for (std::int64_t i = 0; i < chosen; ++i) {
          EXPECT_EQ(experts[at(t * chosen + i)], order[at(i)]);
          const double p = std::exp(static_cast<double>(row[order[at(i)]])) / total / (normalize ? best : 1);
          expect_near(weights[t * chosen + i], p, p, elementwise_tolerance, i);
        }
      }
    }
  });
}

TEST(MoeRoute, GivesValidDistinctExpertsForWorthlessLogits) {
  Stream stream(1);
  const std::vector<float> logits(8, std::nanf(""));
  std::vector<std::int32_t> experts(3, -1);
  std::vector<float> weights(3);
  moe_route(stream, f32_view(logits.data(), {1, 8}), true, {experts.data(), DType::i32, {1, 3}},
            f32_view(weights.data(), {1, 3}));
  for (const std::int32_t e : experts) EXPECT_TRUE(e >= 0 && e < 8);
  EXPECT_TRUE(experts[0] != experts[1] && experts[1] != experts[2] && experts[0] != experts[2]);
}

struct Experts {
  std::int64_t count, inner, hidden;
  Weights gate, up, down;
  Experts(DType type, DType down_type, std::int64_t n, std::int64_t i, std::int64_t h)
      : count(n),
        inner(i),
        hidden(h),
        gate(random_weights(type, n * i, h, 1)),
        up(random_weights(type, n * i, h, 2)),
        down(random_weights(down_type, n * h, i, 3)) {}
  ConstTensor gate_tensor() const { return {gate.bytes.data(), gate.type, {count, inner, hidden}}; }
  ConstTensor up_tensor() const { return {up.bytes.data(), up.type, {count, inner, hidden}}; }
  ConstTensor down_tensor() const { return {down.bytes.data(), down.type, {count, hidden, inner}}; }
};

std::vector<float> run(Stream& stream, const Experts& e, const std::vector<float>& x,
                       const std::vector<std::int32_t>& ids, const std::vector<float>& weights, RowKind kind) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / e.hidden,
                     chosen = static_cast<std::int64_t>(ids.size()) / tokens;
  Guarded out(tokens * e.hidden);
  moe_experts(stream, f32_view(x.data(), {tokens, e.hidden}), e.gate_tensor(), e.up_tensor(), e.down_tensor(),
              {ids.data(), DType::i32, {tokens, chosen}}, f32_view(weights.data(), {tokens, chosen}), kind,
              f32_view(out.data(), {tokens, e.hidden}));
  return out.values();
}

TEST(MoeExperts, EqualsTheReferenceForBothKindsOfRows) {
  on_every_path([](Stream& stream) {
    const Experts e(DType::f32, DType::bf16, 5, 20, 33);
    const std::int64_t tokens = 11, chosen = 3;
    const std::vector<float> x = Random(4).normals(tokens * e.hidden, 3), weights = Random(5).normals(tokens * chosen);
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < tokens * chosen; ++i)
      ids.push_back(static_cast<std::int32_t>((i / chosen + i % chosen * 2) % e.count));
    for (const RowKind kind : {RowKind::prefill, RowKind::decode}) {
      const std::vector<float> out = run(stream, e, x, ids, weights, kind);
      for (std::int64_t t = 0; t < tokens; ++t) {
        std::vector<double> expected(at(e.hidden), 0.0);
        for (std::int64_t i = 0; i < chosen; ++i) {
          const std::int64_t expert = ids[at(t * chosen + i)];
          for (std::int64_t j = 0; j < e.inner; ++j) {
            double gate = 0, up = 0;
            for (std::int64_t h = 0; h < e.hidden; ++h) {
              const double value = static_cast<double>(x[at(t * e.hidden + h)]);
              gate += value * static_cast<double>(e.gate.values[at((expert * e.inner + j) * e.hidden + h)]);
              up += value * static_cast<double>(e.up.values[at((expert * e.inner + j) * e.hidden + h)]);
            }
            const double inner = gate / (1 + std::exp(-gate)) * up * static_cast<double>(weights[at(t * chosen + i)]);
            for (std::int64_t h = 0; h < e.hidden; ++h)
              expected[at(h)] += inner * static_cast<double>(e.down.values[at((expert * e.hidden + h) * e.inner + j)]);
          }
        }
        for (std::int64_t h = 0; h < e.hidden; ++h)
          expect_near(out[at(t * e.hidden + h)], expected[at(h)], 1, f32_tolerance, h);
      }
    }
  });
}

TEST(MoeExperts, GivesATokenTheSameBitsInAnyCompany) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    const Experts e(DType::q4_k, DType::q6_k, 6, 256, 512);
    const std::int64_t tokens = 20, chosen = 2;
    const std::vector<float> x = Random(4).normals(tokens * e.hidden), weights = Random(5).normals(tokens * chosen);
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < tokens * chosen; ++i)
      ids.push_back(static_cast<std::int32_t>((i * i + i % 2) % e.count));
    for (const RowKind kind : {RowKind::prefill, RowKind::decode}) {
      const std::vector<float> together = run(three, e, x, ids, weights, kind);
      std::vector<float> alone;
      for (std::int64_t t = 0; t < tokens; ++t) {
        const std::vector<float> row = run(one, e, {x.begin() + t * e.hidden, x.begin() + (t + 1) * e.hidden},
                                           {ids.begin() + t * chosen, ids.begin() + (t + 1) * chosen},
                                           {weights.begin() + t * chosen, weights.begin() + (t + 1) * chosen}, kind);
        alone.insert(alone.end(), row.begin(), row.end());
      }
      expect_same_bits(alone, together);
    }
  }
}

TEST(MoeExperts, RefusesAnExpertThatDoesNotExist) {
  Stream stream(1);
  const Experts e(DType::f32, DType::f32, 2, 4, 4);
  EXPECT_THROW(run(stream, e, std::vector<float>(4), {2}, {1}, RowKind::decode), Error);
}

}  // namespace
}  // namespace lectern::kernels::test
