#include "kernels/cuda/kv_write.h"

#include "kernels/kv_write.h"
#include "kv_pages.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaKvWrite : public CudaTest {};
class CudaKvWriteSmall : public CudaTest {};

/// What all bytes of the pool must be, written token by token.
class Expected {
 public:
  Expected(const PagesOnDevice& pages, KvLayout layout)
      : pages_(pages), layout_(layout), bytes_(pages.bytes().size(), 0xFF) {}

  void write(std::int32_t page, std::int64_t slot, const std::vector<float>& k, const std::vector<float>& v,
             std::int64_t token) {
    for (int part = 0; part < 2; ++part) {
      for (std::int64_t head = 0; head < layout_.heads; ++head) {
        const float* values = (part == 0 ? k : v).data() + (token * layout_.heads + head) * layout_.head_dim;
        const std::int64_t row = pages_.row(page, part, head, slot);
        float largest = 0;
        bool finite = true;
        for (std::int64_t d = 0; d < layout_.head_dim; ++d) {
          largest = std::max(largest, std::abs(values[d]));
          finite = finite && std::isfinite(values[d]);
        }
        for (std::int64_t d = 0; d < layout_.head_dim; ++d) {
          if (layout_.kind == KvKind::bf16) {
            const std::uint16_t half = to_bf16(values[d]);
            std::memcpy(bytes_.data() + row + 2 * d, &half, 2);
          } else {
            const float parts = finite && largest > 0 ? values[d] * (127.0f / largest) : 0.0f;
            bytes_[at(row + d)] = static_cast<unsigned char>(static_cast<int>(std::nearbyint(parts)));
          }
        }
        if (layout_.kind == KvKind::int8) {
          const float scale = finite ? largest / 127.0f : std::nanf("");
          std::memcpy(bytes_.data() + pages_.scale(page, part, head, slot), &scale, 4);
        }
      }
    }
  }
  /// Scales and bytes of 8 bits may differ by a rounding of the division.
  void expect(const std::vector<unsigned char>& actual) const {
    ASSERT_EQ(actual.size(), bytes_.size());
    std::int64_t different = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) different += actual[i] != bytes_[i];
    EXPECT_LE(different, layout_.kind == KvKind::bf16 ? 0 : std::ssize(actual) / 1000);
  }

 private:
  const PagesOnDevice& pages_;
  KvLayout layout_;
  std::vector<unsigned char> bytes_;
};

void expect_written(Queue& queue, KvLayout layout, std::int64_t tokens, std::int32_t first_slot,
                    std::int64_t table_pages) {
  SCOPED_TRACE(std::to_string(tokens) + " tokens of " + std::to_string(layout.head_dim) + " from " +
               std::to_string(first_slot));
  const PagesOnDevice pages(queue, layout, table_pages);
  const std::int64_t values = tokens * layout.heads * layout.head_dim;
  const std::vector<float> k = Random(1).normals(values), v = Random(2).normals(values, 30);
  const OnDevice<float> dk(queue, k), dv(queue, v);
  const OnDevice<std::int32_t> first(queue, {first_slot});
  kv_write(queue, dk.tensor({tokens, layout.heads, layout.head_dim}),
           dv.tensor({tokens, layout.heads, layout.head_dim}), first.tensor({1}), pages.pages());
  Expected expected(pages, layout);
  for (std::int64_t t = 0; t < tokens; ++t)
    expected.write(pages.table()[at((first_slot + t) / kv_page_tokens)], first_slot + t, k, v, t);
  expected.expect(pages.bytes());
}

TEST_F(CudaKvWriteSmall, WritesTheSlotsOfATokenAndNothingElse) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    expect_written(queue(), {1, 4, kind}, 1, 0, 1);
    expect_written(queue(), {3, 20, kind}, 5, 253, 2);
  }
}

TEST_F(CudaKvWrite, WritesTheSlotsOfATokenAndNothingElse) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    expect_written(queue(), {2, 256, kind}, 70, 200, 2);
    expect_written(queue(), {2, 64, kind}, 514, 255, 4);
    expect_written(queue(), {1, 132, kind}, 3, 511, 3);
  }
}

TEST_F(CudaKvWrite, EqualsTheCpu) {
  const KvLayout layout{2, 256, KvKind::bf16};
  const std::int64_t tokens = 9;
  const PagesOnDevice pages(queue(), layout, 1);
  const std::vector<float> k = Random(1).normals(tokens * 512), v = Random(2).normals(tokens * 512);
  const OnDevice<float> dk(queue(), k), dv(queue(), v);
  const OnDevice<std::int32_t> first(queue(), {11});
  kv_write(queue(), dk.tensor({tokens, 2, 256}), dv.tensor({tokens, 2, 256}), first.tensor({1}), pages.pages());
  const KvShape shape{2, 256, DType::bf16};
  std::vector<std::byte> strip(at(shape.strip_bytes()), std::byte{0xFF});
  std::byte* strips[] = {strip.data()};
  Stream cpu(1);
  kernels::kv_write(cpu, f32_view(k.data(), {tokens, 2, 256}), f32_view(v.data(), {tokens, 2, 256}), shape, strips, 11);
  const std::vector<unsigned char> all = pages.bytes();
  EXPECT_EQ(std::memcmp(strip.data(), all.data() + pages.row(pages.table()[0], 0, 0, 0), strip.size()), 0);
}

TEST_F(CudaKvWriteSmall, WritesTokensOfSeveralSequencesAndLeavesSomeOut) {
  for (const KvKind kind : {KvKind::bf16, KvKind::int8}) {
    const KvLayout layout{1, 8, kind};
    PagesOnDevice pages(queue(), layout, 2, 2);
    const std::vector<float> k = Random(1).normals(4 * 8), v = Random(2).normals(4 * 8);
    const OnDevice<float> dk(queue(), k), dv(queue(), v);
    const OnDevice<std::int32_t> slots(queue(), {300, -1, 7, 256});
    kv_write(queue(), dk.tensor({4, 1, 8}), dv.tensor({4, 1, 8}), slots.tensor({4}), pages.pages());
    Expected expected(pages, layout);
    expected.write(pages.table()[1], 300, k, v, 0);
    expected.write(pages.table()[2], 7, k, v, 2);
    expected.write(pages.table()[3], 256, k, v, 3);
    expected.expect(pages.bytes());
    EXPECT_EQ(pages.faults(), 0);
  }
}

TEST_F(CudaKvWriteSmall, LeavesOutAndReportsSlotsWithoutAPage) {
  const KvLayout layout{1, 8, KvKind::bf16};
  PagesOnDevice pages(queue(), layout, 3);
  const std::vector<float> k = Random(1).normals(8), v = Random(2).normals(8);
  const OnDevice<float> dk(queue(), k), dv(queue(), v);
  pages.set_table({pages.table()[0], -1, static_cast<std::int32_t>(pages.page_count())});
  const auto faults_of = [&](std::int32_t slot) {
    const OnDevice<std::int32_t> first(queue(), {slot});
    kv_write(queue(), dk.tensor({1, 1, 8}), dv.tensor({1, 1, 8}), first.tensor({1}), pages.pages());
    return pages.faults();
  };
  EXPECT_EQ(faults_of(256), kv_fault_hole);
  EXPECT_EQ(faults_of(512), kv_fault_beyond_pool);
  EXPECT_EQ(faults_of(768), kv_fault_beyond_table);
  EXPECT_EQ(faults_of(-2), kv_fault_beyond_table);
  EXPECT_EQ(faults_of(2147483647), kv_fault_beyond_table);
  {
    const OnDevice<float> two(queue(), std::vector<float>(16));
    const OnDevice<std::int32_t> last(queue(), {2147483647});  // and the one behind it
    kv_write(queue(), two.tensor({2, 1, 8}), two.tensor({2, 1, 8}), last.tensor({1}), pages.pages());
    EXPECT_EQ(pages.faults(), kv_fault_beyond_table);
  }
  const Expected expected(pages, layout);
  expected.expect(pages.bytes());
  EXPECT_EQ(faults_of(255), 0);
}

TEST_F(CudaKvWriteSmall, KeepsWhatIsNotFiniteVisible) {
  const KvLayout layout{1, 8, KvKind::int8};
  const PagesOnDevice pages(queue(), layout, 1);
  std::vector<float> k(16, 0.0f), v = Random(2).normals(16);
  k[8] = 3.4028234e38f;  // the largest there is
  v[3] = INFINITY;
  v[9] = std::nanf("");
  const OnDevice<float> dk(queue(), k), dv(queue(), v);
  const OnDevice<std::int32_t> first(queue(), {0});
  kv_write(queue(), dk.tensor({2, 1, 8}), dv.tensor({2, 1, 8}), first.tensor({1}), pages.pages());
  const std::vector<unsigned char> all = pages.bytes();
  float scales[4];
  for (int i = 0; i < 4; ++i) std::memcpy(&scales[i], all.data() + pages.scale(pages.table()[0], i / 2, 0, i % 2), 4);
  EXPECT_EQ(scales[0], 0.0f);
  EXPECT_EQ(scales[1], 3.4028234e38f / 127.0f);
  EXPECT_TRUE(std::isnan(scales[2]));
  EXPECT_TRUE(std::isnan(scales[3]));
}

TEST_F(CudaKvWriteSmall, ReadsTheSlotWhenItRuns) {
  const KvLayout layout{1, 8, KvKind::bf16};
  PagesOnDevice pages(queue(), layout, 2);
  const std::vector<float> k = Random(1).normals(8), v = Random(2).normals(8);
  const OnDevice<float> dk(queue(), k), dv(queue(), v);
  const OnDevice<std::int32_t> first(queue(), {0});
  const Graph graph = queue().capture([&] {
    kv_write(queue(), dk.tensor({1, 1, 8}), dv.tensor({1, 1, 8}), first.tensor({1}), pages.pages());
  });
  const std::int32_t slot = 257;
  copy_to_device(queue(), first.data(), &slot, 4);
  queue().launch(graph);
  Expected expected(pages, layout);
  expected.write(pages.table()[1], 257, k, v, 0);
  expected.expect(pages.bytes());
}

TEST_F(CudaKvWriteSmall, RefusesWhatDoesNotFit) {
  const KvLayout layout{2, 8, KvKind::bf16};
  const PagesOnDevice fitting(queue(), layout, 1, 2);
  const OnDevice<float> x(queue(), std::vector<float>(64));
  const OnDevice<std::int32_t> slots(queue(), {0, 0, 0});
  const auto write = [&](Tensor k, Tensor v, Tensor where, const KvPages& pages) {
    kv_write(queue(), k, v, where, pages);
  };
  const KvPages pages = fitting.pages();
  EXPECT_THROW(write(x.tensor({2, 2, 8}), x.tensor({2, 2, 4}), slots.tensor({2}), pages), Error);
  EXPECT_THROW(write(x.tensor({2, 1, 16}), x.tensor({2, 1, 16}), slots.tensor({2}), pages), Error);
  EXPECT_THROW(write(x.tensor({2, 2, 8}), x.tensor({2, 2, 8}), slots.tensor({1}), pages), Error);
  EXPECT_THROW(write(x.tensor({3, 2, 8}), x.tensor({3, 2, 8}), slots.tensor({3}), pages), Error);
  EXPECT_THROW(write(x.tensor({2, 2, 8}), x.tensor({2, 2, 8}), x.tensor({2}), pages), Error);
  const auto changed = [&](auto change) {
    KvPages other = pages;
    change(other);
    EXPECT_THROW(write(x.tensor({2, 2, 8}), x.tensor({2, 2, 8}), slots.tensor({2}), other), Error);
  };
  changed([](KvPages& p) { p.page_stride = p.layout.strip_bytes() - 16; });
  changed([](KvPages& p) { p.page_stride += 8; });
  changed([](KvPages& p) { p.page_count = 0; });
  changed([](KvPages& p) { p.strips += 8; });
  changed([](KvPages& p) { p.layout.head_dim = 6; });
  changed([](KvPages& p) { p.tables.type = DType::f32; });
  changed([](KvPages& p) { p.faults = {}; });
  write(x.tensor({0, 2, 8}), x.tensor({0, 2, 8}), slots.tensor({0}), pages);  // no tokens: nothing to do
}

TEST(CudaKvPages, TellsTheHostWhichSlotsAreMissing) {
  const std::vector<std::int32_t> table = {4, 0, -1, 5};
  require_slots(table, 0, 5);
  require_slots(table, 512, 5);
  EXPECT_THROW(require_slots(table, 513, 5), Error);
  EXPECT_THROW(require_slots(table, 1025, 6), Error);
  EXPECT_THROW(require_slots(table, -1, 6), Error);
  EXPECT_THROW(require_slots(std::vector<std::int32_t>{5}, 1, 5), Error);
  require_slots(std::vector<std::int32_t>{5}, 1, 6);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
