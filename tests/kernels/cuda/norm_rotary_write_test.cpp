// norm_rotary_write against its parts: rms_norm and rotary in double, kv_write's pages.
#include "kernels/cuda/norm_rotary_write.h"

#include "kv_pages.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaNormRotaryWrite : public CudaTest {};
class CudaNormRotaryWriteSmall : public CudaTest {};

struct Case {
  std::int64_t tokens, query_heads, kv_heads, dim, pairs;
  KvKind kind;
  RotaryPairs order;
  bool gated, normed;
};

std::vector<double> frequencies_of(std::int64_t pairs) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < pairs; ++i)
    result.push_back(std::pow(5e6, -static_cast<double>(i) / static_cast<double>(pairs)));
  return result;
}

/// The heads [T, heads, dim] that lie `stride` values apart, normed and turned.
std::vector<double> transformed(const std::vector<float>& x, std::int64_t heads, std::int64_t stride,
                                const std::vector<float>& weights, const std::vector<std::int32_t>& positions,
                                const Case& c) {
  std::vector<double> result;
  const std::vector<double> thetas = frequencies_of(c.pairs);
  for (std::int64_t row = 0; row < std::ssize(positions) * heads; ++row) {
    std::vector<double> head(x.begin() + row * stride, x.begin() + row * stride + c.dim);
    if (c.normed) {
      double squares = 0;
      for (const double value : head) squares += value * value;
      for (std::int64_t d = 0; d < c.dim; ++d)
        head[at(d)] *= wide(weights[at(d)]) / std::sqrt(squares / static_cast<double>(c.dim) + 0.25);
    }
    for (std::int64_t i = 0; i < c.pairs; ++i) {
      double& a = head[at(c.order == RotaryPairs::halves ? i : 2 * i)];
      double& b = head[at(c.order == RotaryPairs::halves ? i + c.pairs : 2 * i + 1)];
      const double angle = static_cast<double>(positions[at(row / heads)]) * thetas[at(i)];
      const double turned = 1.5 * (a * std::cos(angle) - b * std::sin(angle));
      b = 1.5 * (b * std::cos(angle) + a * std::sin(angle));
      a = turned;
    }
    result.insert(result.end(), head.begin(), head.end());
  }
  return result;
}

template <class Out>
void expect_all(Queue& queue, const Case& c) {
  SCOPED_TRACE(std::to_string(c.tokens) + " tokens of " + std::to_string(c.dim));
  const std::int64_t stride = c.gated ? 2 * c.dim : c.dim;
  const std::vector<float> q = Random(1).normals(c.tokens * c.query_heads * stride, 3),
                           k = Random(2).normals(c.tokens * c.kv_heads * c.dim),
                           v = Random(3).normals(c.tokens * c.kv_heads * c.dim), wq = Random(4).normals(c.dim),
                           wk = Random(5).normals(c.dim);
  std::vector<std::int32_t> positions, slots;
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    positions.push_back(static_cast<std::int32_t>(1010000 - 77777 * t));
    slots.push_back(static_cast<std::int32_t>(254 + t));
  }
  const OnDevice<float> dq(queue, q), dk(queue, k), dv(queue, v), dwq(queue, wq), dwk(queue, wk);
  const OnDevice<std::int32_t> where(queue, positions), into(queue, slots);
  const RotaryFrequencies frequencies(queue, frequencies_of(c.pairs));
  const KvLayout layout{c.kv_heads, c.dim, c.kind};
  PagesOnDevice pages(queue, layout, 2), plain(queue, layout, 2);
  const GuardedOnDevice<Out> out(queue, c.tokens * c.query_heads * c.dim);
  HeadTransform transform;
  if (c.normed) transform.q_norm = dwq.tensor({c.dim}), transform.k_norm = dwk.tensor({c.dim});
  transform.eps = 0.25f;  // large enough to be seen
  transform.frequencies = &frequencies;
  transform.magnitude = 1.5f;
  transform.pairs = c.order;
  norm_rotary_write(queue, dq.tensor({c.tokens, c.query_heads, stride}), dk.tensor({c.tokens, c.kv_heads, c.dim}),
                    dv.tensor({c.tokens, c.kv_heads, c.dim}), transform, where.tensor({c.tokens}),
                    into.tensor({c.tokens}), pages.pages(), out.tensor({c.tokens, c.query_heads, c.dim}));
  EXPECT_EQ(pages.faults(), 0);

  const std::vector<double> want_q = transformed(q, c.query_heads, stride, wq, positions, c);
  const bool is_bf16 = std::is_same_v<Out, std::uint16_t>;
  expect_all_near(
      out.values(), [&](std::size_t i) { return want_q[i]; },
      [&](std::size_t i) { return is_bf16 ? std::abs(want_q[i]) + 1e-3 : 12.0; },
      is_bf16 ? bf16_tolerance : elementwise_tolerance);

  const std::vector<double> want_k = transformed(k, c.kv_heads, c.dim, wk, positions, c);
  const std::vector<unsigned char> all = pages.bytes();
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    const std::int32_t page = pages.table()[at(slots[at(t)] / kv_page_tokens)];
    for (int part = 0; part < 2; ++part) {
      for (std::int64_t head = 0; head < c.kv_heads; ++head) {
        double largest = 0;
        for (std::int64_t d = 0; d < c.dim; ++d) {
          const std::int64_t i = (t * c.kv_heads + head) * c.dim + d;
          largest = std::max(largest, std::abs(part == 0 ? want_k[at(i)] : wide(v[at(i)])));
        }
        for (std::int64_t d = 0; d < c.dim; ++d) {
          const std::int64_t i = (t * c.kv_heads + head) * c.dim + d;
          const double want = part == 0 ? want_k[at(i)] : wide(v[at(i)]);
          const unsigned char* row = all.data() + pages.row(page, part, head, slots[at(t)]);
          float kept = 0;
          if (c.kind == KvKind::bf16) {
            std::uint16_t half;
            std::memcpy(&half, row + 2 * d, 2);
            kept = from_bf16(half);
            EXPECT_NEAR(wide(kept), want, bf16_tolerance * std::abs(want) + 1e-5);
          } else {
            float scale;
            std::memcpy(&scale, all.data() + pages.scale(page, part, head, slots[at(t)]), 4);
            kept = static_cast<float>(static_cast<signed char>(row[d])) * scale;
            EXPECT_NEAR(wide(kept), want, largest / 127 * 0.501);  // half a step
          }
        }
      }
    }
  }
  // Values go to the pages as kv_write puts them there, and nothing else is touched.
  kv_write(queue, dk.tensor({c.tokens, c.kv_heads, c.dim}), dv.tensor({c.tokens, c.kv_heads, c.dim}),
           into.tensor({c.tokens}), plain.pages());
  const std::vector<unsigned char> other = plain.bytes();
  std::int64_t different = 0;
  for (std::size_t i = 0; i < all.size(); ++i) different += all[i] != other[i];
  EXPECT_LE(different, c.tokens * c.kv_heads * (c.dim * layout.value_bytes() + 4));  // the keys
}

TEST_F(CudaNormRotaryWriteSmall, EqualsTheReference) {
  expect_all<float>(queue(), {1, 2, 1, 8, 2, KvKind::bf16, RotaryPairs::halves, false, true});
  expect_all<std::uint16_t>(queue(), {3, 7, 2, 12, 6, KvKind::int8, RotaryPairs::adjacent, true, true});
  expect_all<float>(queue(), {1, 1, 1, 8, 4, KvKind::int8, RotaryPairs::halves, true, false});
}

TEST_F(CudaNormRotaryWrite, EqualsTheReference) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    expect_all<std::uint16_t>(queue(), {5, 16, 2, 256, 32, kind, RotaryPairs::halves, true, true});
    expect_all<float>(queue(), {1, 16, 2, 256, 32, kind, RotaryPairs::halves, true, true});
    expect_all<float>(queue(), {4, 9, 3, 64, 32, kind, RotaryPairs::adjacent, false, false});
    expect_all<float>(queue(), {2, 3, 1, 512, 256, kind, RotaryPairs::halves, false, true});
  }
}

TEST_F(CudaNormRotaryWriteSmall, WorksInPlaceAndAlikeAndLeavesOutTokens) {
  const std::int64_t tokens = 3, heads = 4, dim = 16;
  const std::vector<float> q = Random(1).normals(tokens * heads * dim), k = Random(2).normals(tokens * dim),
                           w = Random(3).normals(dim);
  const OnDevice<float> dq(queue(), q), place(queue(), q), dk(queue(), k), dw(queue(), w);
  const OnDevice<std::int32_t> positions(queue(), {5, 6, 7}), slots(queue(), {5, -1, 7}), alone_slots(queue(), {-1});
  const RotaryFrequencies frequencies(queue(), frequencies_of(4));
  PagesOnDevice pages(queue(), {1, dim, KvKind::bf16}, 1), apart(queue(), {1, dim, KvKind::bf16}, 1);
  const GuardedOnDevice<float> out(queue(), tokens * heads * dim), alone(queue(), heads * dim);
  HeadTransform transform;
  transform.q_norm = transform.k_norm = dw.tensor({dim});
  transform.frequencies = &frequencies;
  const auto run = [&](const OnDevice<float>& from, Tensor to, const PagesOnDevice& into) {
    norm_rotary_write(queue(), from.tensor({tokens, heads, dim}), dk.tensor({tokens, 1, dim}),
                      dk.tensor({tokens, 1, dim}), transform, positions.tensor({tokens}), slots.tensor({tokens}),
                      into.pages(), to);
  };
  run(dq, out.tensor({tokens, heads, dim}), pages);
  run(place, place.tensor({tokens, heads, dim}), apart);
  expect_same_bits(place.values(), out.values());
  EXPECT_EQ(pages.faults(), 0);
  const std::vector<unsigned char> all = pages.bytes();
  EXPECT_EQ(all, apart.bytes());
  for (int part = 0; part < 2; ++part) {
    const auto is_written = [&](std::int64_t slot) {
      const auto first = all.begin() + pages.row(pages.table()[0], part, 0, slot);
      return std::any_of(first, first + 2 * dim, [](unsigned char byte) { return byte != 0xFF; });
    };
    EXPECT_TRUE(is_written(5) && is_written(7));
    EXPECT_FALSE(is_written(6));
  }
  // One token alone has the bits it has among others.
  const Tensor one(dq.data() + 2 * heads * dim * 4, DType::f32, {1, heads, dim});
  const Tensor position(positions.data() + 8, DType::i32, {1});
  norm_rotary_write(queue(), one, dk.tensor({1, 1, dim}), dk.tensor({1, 1, dim}), transform, position,
                    alone_slots.tensor({1}), apart.pages(), alone.tensor({1, heads, dim}));
  const std::vector<float> whole = out.values(), single = alone.values();
  EXPECT_EQ(std::memcmp(single.data(), whole.data() + 2 * heads * dim, single.size() * 4), 0);
}

TEST_F(CudaNormRotaryWriteSmall, LeavesOutAndReportsSlotsWithoutAPage) {
  const std::int64_t dim = 8;
  const OnDevice<float> x(queue(), Random(1).normals(dim));
  const OnDevice<std::int32_t> position(queue(), {3});
  const RotaryFrequencies frequencies(queue(), frequencies_of(2));
  PagesOnDevice pages(queue(), {1, dim, KvKind::int8}, 3);
  pages.set_table({pages.table()[0], -1, static_cast<std::int32_t>(pages.page_count())});
  const std::vector<unsigned char> before = pages.bytes();
  HeadTransform transform;
  transform.frequencies = &frequencies;
  const auto faults_of = [&](std::int32_t slot) {
    const OnDevice<std::int32_t> into(queue(), {slot});
    const GuardedOnDevice<float> out(queue(), dim);
    norm_rotary_write(queue(), x.tensor({1, 1, dim}), x.tensor({1, 1, dim}), x.tensor({1, 1, dim}), transform,
                      position.tensor({1}), into.tensor({1}), pages.pages(), out.tensor({1, 1, dim}));
    EXPECT_FALSE(std::isnan(out.values()[0]));
    return pages.faults();
  };
  EXPECT_EQ(faults_of(256), kv_fault_hole);
  EXPECT_EQ(faults_of(512), kv_fault_beyond_pool);
  EXPECT_EQ(faults_of(768), kv_fault_beyond_table);
  EXPECT_EQ(faults_of(-1), 0);  // left out
  EXPECT_EQ(pages.bytes(), before);
  EXPECT_EQ(faults_of(255), 0);
  EXPECT_NE(pages.bytes(), before);
}

TEST_F(CudaNormRotaryWriteSmall, RefusesWhatDoesNotFit) {
  const std::int64_t dim = 8;
  const OnDevice<float> x(queue(), std::vector<float>(128));
  const OnDevice<std::int32_t> ints(queue(), {0, 0});
  const RotaryFrequencies frequencies(queue(), frequencies_of(4)), many(queue(), frequencies_of(5));
  PagesOnDevice pages(queue(), {1, dim, KvKind::bf16}, 1);
  HeadTransform good;
  good.frequencies = &frequencies;
  const auto run = [&](const HeadTransform& transform, Tensor q, Tensor k, Tensor positions, Tensor slots, Tensor out) {
    norm_rotary_write(queue(), q, k, k, transform, positions, slots, pages.pages(), out);
  };
  const Tensor q = x.tensor({2, 2, dim}), k = x.tensor({2, 1, dim}), p = ints.tensor({2});
  EXPECT_THROW(run(good, x.tensor({2, 2, 3 * dim}), k, p, p, q), Error);
  EXPECT_THROW(run(good, q, x.tensor({1, 1, dim}), p, p, q), Error);
  EXPECT_THROW(run(good, q, x.tensor({2, 2, dim}), p, p, q), Error);
  EXPECT_THROW(run(good, q, k, ints.tensor({1}), p, q), Error);
  EXPECT_THROW(run(good, q, k, p, x.tensor({2}), q), Error);
  EXPECT_THROW(run(good, q, k, p, p, x.tensor({2, 1, dim})), Error);
  EXPECT_THROW(run(good, q, k, p, p, Tensor(x.data(), DType::i32, {2, 2, dim})), Error);
  HeadTransform bad = good;
  bad.frequencies = &many;
  EXPECT_THROW(run(bad, q, k, p, p, q), Error);
  bad.frequencies = nullptr;
  EXPECT_THROW(run(bad, q, k, p, p, q), Error);
  bad = good;
  bad.k_norm = x.tensor({dim - 1});
  EXPECT_THROW(run(bad, q, k, p, p, q), Error);
  run(good, x.tensor({0, 2, dim}), x.tensor({0, 1, dim}), ints.tensor({0}), ints.tensor({0}), x.tensor({0, 2, dim}));
  EXPECT_EQ(x.values(), std::vector<float>(128));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
