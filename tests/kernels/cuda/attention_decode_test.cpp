#include "kernels/cuda/attention_decode.h"

#include "attention_case.h"
#include "kernels/attention_decode.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaAttentionDecode : public CudaTest {};
class CudaAttentionDecodeSmall : public CudaTest {};

/// Rows over the pages of one case: row i has the query of token tokens[i].
std::vector<float> decode(Queue& queue, const AttentionInputs& in, const PagesOnDevice& pages,
                          const std::vector<std::int64_t>& tokens, const std::vector<std::int32_t>& slots) {
  const AttentionCase& c = in.c;
  std::vector<float> queries;
  for (const std::int64_t t : tokens)
    queries.insert(queries.end(), in.q.begin() + t * c.row(), in.q.begin() + (t + 1) * c.row());
  const std::int64_t rows = std::ssize(tokens);
  const OnDevice<float> q(queue, queries);
  const OnDevice<std::int32_t> counts(queue, slots);
  const GuardedOnDevice<float> out(queue, rows * c.row());
  attention_decode(queue, q.tensor({rows, c.query_heads, c.dim}), pages.pages(), counts.tensor({rows}), c.scale(), {},
                   out.tensor({rows, c.query_heads, c.dim}));
  return out.values();
}

void expect_rows(const AttentionInputs& in, const std::vector<float>& out, const std::vector<std::int64_t>& tokens,
                 const std::vector<std::int32_t>& slots) {
  const AttentionCase& c = in.c;
  for (std::size_t row = 0; row < tokens.size(); ++row)
    for (std::int64_t head = 0; head < c.query_heads; ++head)
      expect_attention_row(out, static_cast<std::int64_t>(row) * c.row() + head * c.dim,
                           attention_reference(in, tokens[row], head, slots[row], every_slot));
}

/// One row at each of these slot counts, then (in groups of `together`) all of them at once: the reference, and the
/// same bits.
void expect_reference(Queue& queue, const AttentionCase& c, const std::vector<std::int32_t>& slots,
                      std::size_t together) {
  SCOPED_TRACE(std::to_string(c.query_heads) + " heads of " + std::to_string(c.dim) + ", " + std::to_string(c.tokens) +
               " slots, " + (c.kind == KvKind::bf16 ? "bf16" : "int8"));
  const AttentionInputs in(c);
  PagesOnDevice pages(queue, c.layout(), c.table_pages());
  in.write(queue, pages, 0, c.tokens);
  std::vector<float> alone, all;
  for (std::size_t first = 0; first < slots.size(); first += together) {
    std::vector<std::int64_t> tokens;
    std::vector<std::int32_t> counts;
    for (std::size_t i = first; i < std::min(first + together, slots.size()); ++i) {
      tokens.push_back(static_cast<std::int64_t>(i * 7) % c.tokens);
      counts.push_back(slots[i]);
      const std::vector<float> one = decode(queue, in, pages, {tokens.back()}, {counts.back()});
      expect_rows(in, one, {tokens.back()}, {counts.back()});
      alone.insert(alone.end(), one.begin(), one.end());
    }
    const std::vector<float> group = decode(queue, in, pages, tokens, counts);
    all.insert(all.end(), group.begin(), group.end());
  }
  expect_same_bits(all, alone);
  EXPECT_EQ(pages.faults(), 0);
}

TEST_F(CudaAttentionDecodeSmall, EqualsTheReferenceInAnyCompany) {
  expect_reference(queue(), {1, 1, 64, 1, KvKind::bf16}, {1}, 1);
  expect_reference(queue(), {2, 1, 64, 70, KvKind::int8}, {70, 65, 1}, 3);
  expect_reference(queue(), {4, 2, 128, 66, KvKind::bf16}, {65, 66, 33, 64, 7}, 5);
  expect_reference(queue(), {8, 1, 256, 66, KvKind::bf16}, {65, 66}, 2);
  expect_reference(queue(), {1, 1, 256, 66, KvKind::int8}, {66}, 1);
}

TEST_F(CudaAttentionDecode, EqualsTheReferenceInAnyCompany) {
  const std::vector<std::int32_t> ends = {1, 63, 64, 65, 255, 256, 257, 520};
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    expect_reference(queue(), {16, 2, 256, 257, kind}, {254, 255, 256, 257}, 4);  // Qwen3-Next, a draft
    expect_reference(queue(), {8, 1, 256, 520, kind}, ends, 8);
    expect_reference(queue(), {9, 3, 64, 520, kind}, ends, 5);  // SmolLM2
    expect_reference(queue(), {6, 2, 128, 520, kind}, ends, 8);
    expect_reference(queue(), {16, 1, 64, 300, kind}, {300, 299, 1, 64, 65, 70, 128}, 7);  // more columns than a block
  }
}

/// Piece sizes of 64, 128 and 256 in one block: rows on both sides of the slot counts where they change.
TEST_F(CudaAttentionDecode, KeepsARowsBitsBesideRowsWithLargerPieces) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8})
    expect_reference(queue(), {2, 1, 64, 16500, kind}, {8192, 8193, 8194, 16384, 16385, 100, 16500}, 7);
}

TEST_F(CudaAttentionDecode, EqualsTheCpu) {
  const AttentionCase c{16, 2, 256, 300, KvKind::bf16};
  const AttentionInputs in(c);
  PagesOnDevice pages(queue(), c.layout(), c.table_pages());
  in.write(queue(), pages, 0, c.tokens);
  const std::vector<float> out = decode(queue(), in, pages, {0}, {300});
  std::vector<unsigned char> all = pages.bytes();
  const auto strip = [&](std::size_t page) {
    return reinterpret_cast<std::byte*>(all.data() + pages.row(pages.table()[page], 0, 0, 0));
  };
  std::byte* strips[] = {strip(0), strip(1)};
  std::vector<float> twin(at(c.row()));
  Stream cpu(2);
  kernels::attention_decode(cpu, f32_view(in.q.data(), {16, 256}), {2, 256, DType::bf16}, strips, 300, c.scale(),
                            f32_view(twin.data(), {16, 256}));
  expect_all_near(
      out, [&](std::size_t i) { return wide(twin[i]); }, [](std::size_t) { return 4.0; }, attention_tolerance);
}

/// Sequences with tables of their own (forks), one row and several each.
TEST_F(CudaAttentionDecodeSmall, ReadsThePagesOfEachSequence) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    const AttentionCase c{2, 1, 64, 300, kind};
    const AttentionInputs in(c);
    PagesOnDevice single(queue(), c.layout(), 2), pages(queue(), c.layout(), 2, 2);
    in.write(queue(), single, 0, c.tokens);
    const std::vector<float> want = decode(queue(), in, single, {5, 6, 7, 8}, {300, 20, 257, 299});
    // Both sequences share the first page and have a second one each, with the same contents.
    const std::vector<std::int32_t> own = pages.table();
    for (const std::int32_t second : {own[1], own[3]}) {
      PagesOnDevice& into = pages;
      into.set_table({own[0], second, own[0], second});
      KvPages one = into.pages();
      one.tables.shape[0] = 1;
      const OnDevice<float> dk(queue(), in.k), dv(queue(), in.v);
      const OnDevice<std::int32_t> first(queue(), {0});
      kv_write(queue(), dk.tensor({300, 1, 64}), dv.tensor({300, 1, 64}), first.tensor({1}), one);
      queue().synchronize();
    }
    pages.set_table({own[0], own[1], own[0], own[3]});
    expect_same_bits(decode(queue(), in, pages, {5, 6, 7, 8}, {300, 20, 257, 299}), want);
    EXPECT_EQ(pages.faults(), 0);
  }
}

TEST_F(CudaAttentionDecodeSmall, GivesZerosToRowsThatAreNotInUse) {
  const AttentionCase c{2, 1, 64, 10, KvKind::bf16};
  const AttentionInputs in(c);
  PagesOnDevice pages(queue(), c.layout(), 1);
  in.write(queue(), pages, 0, c.tokens);
  const std::vector<float> some = decode(queue(), in, pages, {1, 2, 3}, {0, 10, 0});
  for (std::int64_t i = 0; i < c.row(); ++i) {
    EXPECT_EQ(some[at(i)], 0.0f);
    EXPECT_EQ(some[at(2 * c.row() + i)], 0.0f);
  }
  const std::vector<float> one = decode(queue(), in, pages, {2}, {10});
  EXPECT_EQ(std::memcmp(one.data(), some.data() + c.row(), one.size() * 4), 0);
  EXPECT_EQ(decode(queue(), in, pages, {2}, {0}), std::vector<float>(at(c.row()), 0.0f));
  EXPECT_EQ(pages.faults(), 0);
}

TEST_F(CudaAttentionDecodeSmall, TakesAndGivesBothTypesAndGates) {
  const AttentionCase c{2, 1, 64, 35, KvKind::bf16};
  const AttentionInputs in(c);
  PagesOnDevice pages(queue(), c.layout(), 1);
  in.write(queue(), pages, 0, c.tokens);
  const std::vector<float> plain = decode(queue(), in, pages, {0, 1}, {34, 35});
  const OnDevice<std::int32_t> counts(queue(), {34, 35});
  std::vector<std::uint16_t> halves;
  std::vector<float> beside(at(4 * c.row()), std::nanf(""));
  for (std::size_t i = 0; i < at(2 * c.row()); ++i) {
    halves.push_back(to_bf16(in.q[i]));
    beside[i / 64 * 128 + 64 + i % 64] = in.gate[i];
  }
  const OnDevice<std::uint16_t> q16(queue(), halves), place(queue(), halves);
  const OnDevice<float> gate(queue(), in.gate), wide_gate(queue(), beside);
  const GuardedOnDevice<float> from16(queue(), 2 * c.row()), gated(queue(), 2 * c.row());
  const auto shape = {std::int64_t{2}, c.query_heads, c.dim};
  const auto run = [&](Tensor q, ConstTensor gates, Tensor out) {
    attention_decode(queue(), q, pages.pages(), counts.tensor({2}), c.scale(), gates, out);
  };
  run(q16.tensor(shape), {}, from16.tensor(shape));
  expect_same_bits(from16.values(), plain);
  run(q16.tensor(shape), gate.tensor(shape), gated.tensor(shape));
  run(place.tensor(shape), wide_gate.tensor({2, c.query_heads, 2 * c.dim}), place.tensor(shape));
  std::vector<float> in_place;
  for (const std::uint16_t half : place.values()) in_place.push_back(from_bf16(half));
  const auto want = [&](std::size_t i) { return wide(plain[i]) * gate_of(in.gate[i]); };
  const auto size = [&](std::size_t i) { return std::abs(want(i)); };
  expect_all_near(gated.values(), want, size, 4 * elementwise_tolerance);
  expect_all_near(in_place, want, size, bf16_tolerance);
}

TEST_F(CudaAttentionDecodeSmall, WithstandsExtremeScores) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    const AttentionCase c{1, 1, 64, 140, kind};
    AttentionInputs one(c), equal(c), low(c);
    for (std::int64_t i = 0; i < c.tokens * c.dim; ++i) {
      one.q[at(i)] = 64, one.k[at(i)] = i / c.dim == 30 ? 64 : -64;
      equal.q[at(i)] = -30, equal.k[at(i)] = 30;
      low.q[at(i)] = 1e19f, low.k[at(i)] = i / c.dim == 71 ? 1 : i / c.dim == 2 ? -1e10f : -1e20f;
    }
    const auto run = [&](const AttentionInputs& in, std::int32_t slots) {
      PagesOnDevice pages(queue(), c.layout(), 1);
      in.write(queue(), pages, 0, c.tokens);
      return decode(queue(), in, pages, {0}, {slots});
    };
    const double tolerance = kind == KvKind::bf16 ? 0 : bf16_tolerance;  // int8: scales are rounded once more
    const auto expect_value = [&](const std::vector<float>& actual, const AttentionInputs& in, std::int64_t slot) {
      for (std::int64_t d = 0; d < c.dim; ++d) {
        const double value = wide(in.v[at(slot * c.dim + d)]);
        EXPECT_NEAR(wide(actual[at(d)]), value, tolerance * std::abs(value));
      }
    };
    expect_value(run(one, 140), one, 30);
    expect_value(run(one, 31), one, 30);
    expect_attention_row(run(equal, 140), 0, attention_reference(equal, 0, 0, 140, every_slot));
    expect_value(run(low, 140), low, 71);
    expect_value(run(low, 72), low, 71);
  }
}

TEST_F(CudaAttentionDecodeSmall, ShowsWhatIsNotFinite) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    for (const int part : {0, 1, 2}) {
      AttentionInputs in({1, 1, 64, 3, kind});
      (part == 0 ? in.q : part == 1 ? in.k : in.v)[5] = part == 1 ? std::nanf("") : INFINITY;
      PagesOnDevice pages(queue(), in.c.layout(), 1);
      in.write(queue(), pages, 0, 3);
      const std::vector<float> out = decode(queue(), in, pages, {0}, {3});
      EXPECT_FALSE(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); })) << part;
    }
  }
}

TEST_F(CudaAttentionDecodeSmall, LeavesOutAndReportsSlotsWithoutAPage) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    const AttentionCase c{1, 1, 64, 768, kind};
    const AttentionInputs in(c);
    PagesOnDevice pages(queue(), c.layout(), 3);
    in.write(queue(), pages, 0, c.tokens);
    const std::vector<std::int32_t> table = pages.table();
    for (const std::int32_t number : {-1, static_cast<std::int32_t>(pages.page_count())}) {
      pages.set_table({table[0], number, table[2]});
      expect_attention_row(
          decode(queue(), in, pages, {0}, {600}), 0,
          attention_reference(in, 0, 0, 600, [](std::int64_t slot) { return slot < 256 || slot >= 512; }));
      EXPECT_EQ(pages.faults(), number < 0 ? kv_fault_hole : kv_fault_beyond_pool);
      expect_rows(in, decode(queue(), in, pages, {0}, {256}), {0}, {256});  // does not reach the page that is not there
      EXPECT_EQ(pages.faults(), 0);
    }
    pages.set_table(table);
    expect_rows(in, decode(queue(), in, pages, {0}, {769}), {0}, {768});
    EXPECT_EQ(pages.faults(), kv_fault_beyond_table);
    EXPECT_EQ(decode(queue(), in, pages, {0}, {-1})[0], 0.0f);
    EXPECT_EQ(pages.faults(), kv_fault_beyond_table);
  }
}

/// One recorded graph for all slot counts of the window.
TEST_F(CudaAttentionDecodeSmall, ReadsSlotCountsWhenItRuns) {
  const AttentionCase c{2, 1, 64, 700, KvKind::bf16};
  const AttentionInputs in(c);
  PagesOnDevice pages(queue(), c.layout(), 3);
  in.write(queue(), pages, 0, c.tokens);
  const OnDevice<float> q(queue(), in.q);
  const OnDevice<std::int32_t> counts(queue(), {1});
  const GuardedOnDevice<float> out(queue(), c.row());
  queue().reserve_workspace(attention_decode_workspace(1, 2, pages.pages()));
  const Graph graph = queue().capture([&] {
    attention_decode(queue(), Tensor(q.data(), DType::f32, {1, 2, 64}), pages.pages(), counts.tensor({1}), c.scale(),
                     {}, out.tensor({1, 2, 64}));
  });
  EXPECT_EQ(graph.nodes(), 2);
  for (const std::int32_t slots : {700, 3, 513}) {
    copy_to_device(queue(), counts.data(), &slots, 4);
    queue().launch(graph);
    expect_rows(in, out.values(), {0}, {slots});
  }
}

TEST_F(CudaAttentionDecodeSmall, RefusesWhatDoesNotFit) {
  const OnDevice<float> x(queue(), std::vector<float>(1040));
  const OnDevice<std::int32_t> ints(queue(), {1, 1, 1});
  PagesOnDevice one(queue(), {2, 64, KvKind::bf16}, 1), two(queue(), {2, 64, KvKind::bf16}, 1, 2);
  const auto run = [&](ConstTensor q, const PagesOnDevice& pages, ConstTensor slots, Tensor out) {
    attention_decode(queue(), q, pages.pages(), slots, 1, {}, out);
  };
  const Tensor q = x.tensor({2, 4, 64}), slots = ints.tensor({2});
  EXPECT_THROW(run(q, one, ints.tensor({1}), q), Error);
  EXPECT_THROW(run(q, one, x.tensor({2}), q), Error);
  EXPECT_THROW(run(x.tensor({3, 2, 64}), two, ints.tensor({3}), x.tensor({3, 2, 64})), Error);
  EXPECT_THROW(run(x.tensor({0, 2, 64}), one, ints.tensor({0}), x.tensor({0, 2, 64})), Error);
  EXPECT_THROW(run(x.tensor({2, 3, 64}), one, slots, x.tensor({2, 3, 64})), Error);
  EXPECT_THROW(run(Tensor(x.data(), DType::f32, {65, 4, 64}), one, Tensor(ints.data(), DType::i32, {65}),
                   Tensor(x.data(), DType::f32, {65, 4, 64})),
               Error);
  EXPECT_THROW(attention_decode(queue(), q, one.pages(), slots, -1, {}, q), Error);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
