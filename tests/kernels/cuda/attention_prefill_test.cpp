#include "kernels/cuda/attention_prefill.h"

#include "attention_case.h"
#include "kernels/attention_prefill.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaAttentionPrefill : public CudaTest {};
class CudaAttentionPrefillSmall : public CudaTest {};

/// All tokens in pieces of these sizes (the last one repeated), keys and values written just before.
std::vector<float> prefill(Queue& queue, const AttentionInputs& in, const std::vector<std::int64_t>& pieces) {
  const AttentionCase& c = in.c;
  PagesOnDevice pages(queue, c.layout(), c.table_pages());
  const OnDevice<float> q(queue, in.q);
  const GuardedOnDevice<float> out(queue, c.tokens * c.row());
  std::int64_t t = 0;
  for (std::size_t i = 0; t < c.tokens; ++i) {
    const std::int64_t n = std::min(pieces[std::min(i, pieces.size() - 1)], c.tokens - t);
    in.write(queue, pages, t, n);
    const OnDevice<std::int32_t> first(queue, {static_cast<std::int32_t>(t)});
    const Tensor from(q.data() + t * c.row() * 4, DType::f32, {n, c.query_heads, c.dim});
    const Tensor to(out.data() + t * c.row() * 4, DType::f32, {n, c.query_heads, c.dim});
    attention_prefill(queue, from, pages.pages(), first.tensor({1}), c.scale(), {}, to);
    queue.synchronize();
    t += n;
  }
  EXPECT_EQ(pages.faults(), 0);
  return out.values();
}

void expect_reference(Queue& queue, const AttentionCase& c, std::int64_t every) {
  SCOPED_TRACE(std::to_string(c.tokens) + " tokens, " + std::to_string(c.query_heads) + " heads of " +
               std::to_string(c.dim));
  const AttentionInputs in(c);
  const std::vector<float> out = prefill(queue, in, {c.tokens});
  for (std::int64_t t = 0; t < c.tokens; t += t + 1 < c.tokens && t + every >= c.tokens ? c.tokens - 1 - t : every)
    for (std::int64_t head = 0; head < c.query_heads; ++head)
      expect_attention_row(out, (t * c.query_heads + head) * c.dim,
                           attention_reference(in, t, head, t + 1, every_slot));
}

TEST_F(CudaAttentionPrefillSmall, EqualsTheReference) {
  expect_reference(queue(), {1, 1, 64, 1, KvKind::bf16}, 1);
  expect_reference(queue(), {4, 2, 64, 66, KvKind::bf16}, 5);
  expect_reference(queue(), {2, 1, 64, 66, KvKind::int8}, 5);
  expect_reference(queue(), {1, 1, 256, 34, KvKind::bf16}, 3);
  expect_reference(queue(), {1, 1, 256, 34, KvKind::int8}, 3);
}

TEST_F(CudaAttentionPrefill, EqualsTheReference) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    expect_reference(queue(), {16, 2, 256, 70, kind}, 9);  // Qwen3-Next
    expect_reference(queue(), {3, 1, 128, 131, kind}, 9);
    expect_reference(queue(), {5, 5, 64, 65, kind}, 9);
  }
  expect_reference(queue(), {9, 3, 64, 260, KvKind::bf16}, 37);  // SmolLM2
}

/// Single tokens behind others: the ends of tiles and of pages, whose order is not that of the pool.
TEST_F(CudaAttentionPrefill, ReadsSlotsAcrossPages) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    for (const std::int64_t dim : {64, 256}) {
      const AttentionCase c{2, 1, dim, 770, kind};
      const AttentionInputs in(c);
      PagesOnDevice pages(queue(), c.layout(), c.table_pages());
      in.write(queue(), pages, 0, c.tokens);
      const OnDevice<float> q(queue(), in.q);
      for (const std::int64_t t : {0, 31, 62, 63, 64, 254, 255, 256, 511, 512, 769}) {
        const OnDevice<std::int32_t> first(queue(), {static_cast<std::int32_t>(t)});
        const GuardedOnDevice<float> out(queue(), c.row());
        attention_prefill(queue(), Tensor(q.data() + t * c.row() * 4, DType::f32, {1, 2, dim}), pages.pages(),
                          first.tensor({1}), c.scale(), {}, out.tensor({1, 2, dim}));
        for (std::int64_t head = 0; head < 2; ++head)
          expect_attention_row(out.values(), head * dim, attention_reference(in, t, head, t + 1, every_slot));
      }
      EXPECT_EQ(pages.faults(), 0);
    }
  }
}

TEST_F(CudaAttentionPrefill, EqualsTheCpu) {
  const AttentionCase c{16, 2, 256, 40, KvKind::bf16};
  const AttentionInputs in(c);
  const std::vector<float> out = prefill(queue(), in, {c.tokens});
  const KvShape shape{2, 256, DType::bf16};
  PagesOnDevice pages(queue(), c.layout(), 1);
  in.write(queue(), pages, 0, c.tokens);
  std::vector<unsigned char> all = pages.bytes();
  std::byte* strips[] = {reinterpret_cast<std::byte*>(all.data() + pages.row(pages.table()[0], 0, 0, 0))};
  std::vector<float> twin(in.q.size());
  Stream cpu(2);
  kernels::attention_prefill(cpu, f32_view(in.q.data(), {c.tokens, 16, 256}), shape, strips, 0, c.scale(),
                             f32_view(twin.data(), {c.tokens, 16, 256}));
  // The CPU rounds queries, keys and values to 12 and 13 bits and weights to 14 (5e-4 of values of up to 4).
  expect_all_near(
      out, [&](std::size_t i) { return wide(twin[i]); }, [](std::size_t) { return 4.0; }, attention_tolerance + 5e-4);
}

TEST_F(CudaAttentionPrefillSmall, GivesATokenTheSameBitsWhereverThePrefillWasCut) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    const AttentionInputs in({2, 1, 64, 70, kind});
    expect_same_bits(prefill(queue(), in, {33, 1, 36}), prefill(queue(), in, {70}));
  }
}

TEST_F(CudaAttentionPrefill, GivesATokenTheSameBitsWhereverThePrefillWasCut) {
  for (const AttentionCase& c :
       {AttentionCase{8, 1, 256, 70, KvKind::bf16}, AttentionCase{3, 1, 128, 130, KvKind::int8},
        AttentionCase{3, 3, 64, 300, KvKind::bf16}}) {
    const AttentionInputs in(c);
    const std::vector<float> whole = prefill(queue(), in, {c.tokens});
    expect_same_bits(prefill(queue(), in, {1, 2, 61, 5}), whole);
    expect_same_bits(prefill(queue(), in, {64}), whole);
    expect_same_bits(prefill(queue(), in, {37}), whole);
  }
}

/// bf16 queries and results, gates of both forms, all of one case: against the plain f32 result.
TEST_F(CudaAttentionPrefillSmall, TakesAndGivesBothTypesAndGates) {
  const AttentionCase c{2, 1, 64, 35, KvKind::bf16};
  const AttentionInputs in(c);
  const std::vector<float> plain = prefill(queue(), in, {c.tokens});
  PagesOnDevice pages(queue(), c.layout(), 1);
  in.write(queue(), pages, 0, c.tokens);
  const OnDevice<std::int32_t> first(queue(), {0});
  std::vector<std::uint16_t> halves;
  for (const float x : in.q) halves.push_back(to_bf16(x));
  const OnDevice<std::uint16_t> q16(queue(), halves);
  const OnDevice<float> q32(queue(), in.q), gate(queue(), in.gate);
  std::vector<float> beside(2 * in.gate.size(), std::nanf(""));
  for (std::size_t i = 0; i < in.gate.size(); ++i)
    beside[i / at(c.dim) * at(2 * c.dim) + at(c.dim) + i % at(c.dim)] = in.gate[i];
  const OnDevice<float> wide_gate(queue(), beside);
  const auto shape = {c.tokens, c.query_heads, c.dim}, wide_shape = {c.tokens, c.query_heads, 2 * c.dim};
  const GuardedOnDevice<float> from16(queue(), c.tokens * c.row()), gated(queue(), c.tokens * c.row());
  const GuardedOnDevice<std::uint16_t> gated16(queue(), c.tokens * c.row());
  const auto run = [&](Tensor q, ConstTensor gates, Tensor out) {
    attention_prefill(queue(), q, pages.pages(), first.tensor({1}), c.scale(), gates, out);
  };
  run(q16.tensor(shape), {}, from16.tensor(shape));
  expect_same_bits(from16.values(), plain);
  run(q32.tensor(shape), gate.tensor(shape), gated.tensor(shape));
  run(q16.tensor(shape), wide_gate.tensor(wide_shape), gated16.tensor(shape));
  const auto want = [&](std::size_t i) { return wide(plain[i]) * gate_of(in.gate[i]); };
  expect_all_near(
      gated.values(), want, [&](std::size_t i) { return std::abs(want(i)); }, 4 * elementwise_tolerance);
  expect_all_near(
      gated16.values(), want, [&](std::size_t i) { return std::abs(want(i)); }, bf16_tolerance);
}

TEST_F(CudaAttentionPrefillSmall, WithstandsExtremeScores) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    const AttentionCase c{1, 1, 64, 67, kind};
    AttentionInputs one(c), equal(c), low(c);
    // One key dominates: its value comes out as it is, for every row that sees it (int8: with its scale rounded).
    const auto expect_value = [&](float actual, float value) {
      EXPECT_NEAR(wide(actual), wide(value), kind == KvKind::bf16 ? 0 : bf16_tolerance * std::abs(wide(value)));
    };
    for (std::int64_t i = 0; i < c.tokens * c.dim; ++i) one.q[at(i)] = 64, one.k[at(i)] = i / c.dim == 30 ? 64 : -64;
    const std::vector<float> dominated = prefill(queue(), one, {c.tokens});
    for (std::int64_t t = 30; t < c.tokens; ++t)
      for (std::int64_t d = 0; d < c.dim; ++d) expect_value(dominated[at(t * c.dim + d)], one.v[at(30 * c.dim + d)]);
    // Equal scores, far from zero: the mean.
    for (std::int64_t i = 0; i < c.tokens * c.dim; ++i) equal.q[at(i)] = -30, equal.k[at(i)] = 30;
    const std::vector<float> mean = prefill(queue(), equal, {c.tokens});
    for (std::int64_t t = 0; t < c.tokens; ++t)
      expect_attention_row(mean, t * c.dim, attention_reference(equal, t, 0, t + 1, every_slot));
    // Scores of minus infinity weigh nothing.
    for (std::int64_t i = 0; i < c.tokens * c.dim; ++i)
      low.q[at(i)] = 1e19f, low.k[at(i)] = i / c.dim == 1 ? 1 : i / c.dim == 2 ? -1e10f : -1e20f;
    const std::vector<float> left = prefill(queue(), low, {c.tokens});
    for (std::int64_t t = 1; t < c.tokens; ++t)
      for (std::int64_t d = 0; d < c.dim; ++d) expect_value(left[at(t * c.dim + d)], low.v[at(c.dim + d)]);
  }
}

TEST_F(CudaAttentionPrefillSmall, ShowsWhatIsNotFinite) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    for (const int part : {0, 1, 2}) {
      AttentionInputs in({1, 1, 64, 3, kind});
      (part == 0 ? in.q : part == 1 ? in.k : in.v)[5] = part == 1 ? std::nanf("") : INFINITY;
      const std::vector<float> out = prefill(queue(), in, {3});
      EXPECT_FALSE(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); })) << part;
    }
  }
}

TEST_F(CudaAttentionPrefillSmall, LeavesOutAndReportsSlotsWithoutAPage) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    const AttentionCase c{1, 1, 64, 600, kind};
    const AttentionInputs in(c);
    PagesOnDevice pages(queue(), c.layout(), 3);
    in.write(queue(), pages, 0, c.tokens);
    const OnDevice<float> q(queue(), in.q);
    const auto run = [&](std::int32_t token, std::int64_t tokens) {
      const OnDevice<std::int32_t> first(queue(), {token});
      const GuardedOnDevice<float> out(queue(), tokens * 64);
      attention_prefill(queue(), Tensor(q.data(), DType::f32, {tokens, 1, 64}), pages.pages(), first.tensor({1}),
                        c.scale(), {}, out.tensor({tokens, 1, 64}));
      return out.values();
    };
    const std::vector<std::int32_t> table = pages.table();
    for (const std::int32_t number : {-1, static_cast<std::int32_t>(pages.page_count())}) {
      pages.set_table({table[0], number, table[2]});
      expect_attention_row(run(599, 1), 0, attention_reference(in, 0, 0, 600, [](std::int64_t slot) {
                             return slot < 256 || slot >= 512;
                           }));
      EXPECT_EQ(pages.faults(), number < 0 ? kv_fault_hole : kv_fault_beyond_pool);
      run(255, 1);  // does not reach the page that is not there
      EXPECT_EQ(pages.faults(), 0);
    }
    pages.set_table({-1, table[1], table[2]});
    expect_attention_row(run(400, 1), 0,
                         attention_reference(in, 0, 0, 401, [](std::int64_t slot) { return slot >= 256; }));
    EXPECT_EQ(pages.faults(), kv_fault_hole);
    pages.set_table({table[0], table[1], table[2]});
    run(767, 2);
    EXPECT_EQ(pages.faults(), kv_fault_beyond_table);
    run(2147483647, 1);
    EXPECT_EQ(pages.faults(), kv_fault_beyond_table);
    EXPECT_TRUE(std::isnan(run(-1, 1)[0]));
    EXPECT_EQ(pages.faults(), kv_fault_beyond_table);
  }
}

TEST_F(CudaAttentionPrefillSmall, ReadsTheFirstSlotWhenItRuns) {
  const AttentionCase c{1, 1, 64, 40, KvKind::bf16};
  const AttentionInputs in(c);
  PagesOnDevice pages(queue(), c.layout(), 1);
  in.write(queue(), pages, 0, c.tokens);
  const OnDevice<float> q(queue(), in.q);
  const OnDevice<std::int32_t> first(queue(), {0});
  const GuardedOnDevice<float> out(queue(), 64);
  const Graph graph = queue().capture([&] {
    attention_prefill(queue(), Tensor(q.data(), DType::f32, {1, 1, 64}), pages.pages(), first.tensor({1}), c.scale(),
                      {}, out.tensor({1, 1, 64}));
  });
  const std::int32_t slot = 39;
  copy_to_device(queue(), first.data(), &slot, 4);
  queue().launch(graph);
  expect_attention_row(out.values(), 0, attention_reference(in, 0, 0, 40, every_slot));
}

TEST_F(CudaAttentionPrefillSmall, RefusesWhatDoesNotFit) {
  const OnDevice<float> x(queue(), std::vector<float>(1040));
  const OnDevice<std::int32_t> ints(queue(), {0, 0});
  PagesOnDevice one(queue(), {2, 64, KvKind::bf16}, 1), two(queue(), {2, 64, KvKind::bf16}, 1, 2),
      odd(queue(), {2, 32, KvKind::bf16}, 1);
  const auto run = [&](ConstTensor q, const PagesOnDevice& pages, ConstTensor first, float scale, ConstTensor gate,
                       Tensor out) { attention_prefill(queue(), q, pages.pages(), first, scale, gate, out); };
  const Tensor q = x.tensor({2, 4, 64}), first = ints.tensor({1});
  EXPECT_THROW(run(q, one, first, 1, {}, x.tensor({2, 2, 64})), Error);
  EXPECT_THROW(run(x.tensor({2, 3, 64}), one, first, 1, {}, x.tensor({2, 3, 64})), Error);
  EXPECT_THROW(run(x.tensor({2, 4, 32}), one, first, 1, {}, x.tensor({2, 4, 32})), Error);
  EXPECT_THROW(run(x.tensor({2, 4, 32}), odd, first, 1, {}, x.tensor({2, 4, 32})), Error);
  EXPECT_THROW(run(q, two, first, 1, {}, q), Error);
  EXPECT_THROW(run(q, one, ints.tensor({2}), 1, {}, q), Error);
  EXPECT_THROW(run(q, one, x.tensor({1}), 1, {}, q), Error);
  EXPECT_THROW(run(q, one, first, 0, {}, q), Error);
  EXPECT_THROW(run(q, one, first, 1, x.tensor({2, 4, 32}), q), Error);
  EXPECT_THROW(run(q, one, first, 1, x.tensor({1, 4, 64}), q), Error);
  EXPECT_THROW(run(Tensor(x.data(), DType::f16, {2, 4, 64}), one, first, 1, {}, q), Error);
  EXPECT_THROW(run(Tensor(x.data() + 4, DType::f32, {2, 4, 64}), one, first, 1, {}, q), Error);
  EXPECT_THROW(
      run(Tensor(x.data(), DType::f32, {257, 4, 64}), one, first, 1, {}, Tensor(x.data(), DType::f32, {257, 4, 64})),
      Error);
  run(x.tensor({0, 4, 64}), one, first, 1, {}, x.tensor({0, 4, 64}));  // no tokens: nothing to do
  EXPECT_EQ(x.values(), std::vector<float>(1040));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
