// Pages of keys and values for the tests of rotary's and attention's neighbours: a pool whose pages lie in any order,
// apart from each other, and hold NaN (0xFF everywhere) until they are written, so that reading too far shows at once.
#pragma once

#include <algorithm>

#include "cuda_test.h"
#include "kernels/cuda/kv_page.h"
#include "kernels/cuda/kv_write.h"

namespace lectern::kernels::cuda::test {

inline double wide(float x) {
  return static_cast<double>(x);
}
inline std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

class PagesOnDevice {
 public:
  PagesOnDevice(Queue& queue, KvLayout layout, std::int64_t table_pages, std::int64_t sequences = 1)
      : queue_(queue),
        layout_(layout),
        table_pages_(table_pages),
        page_count_(sequences * table_pages + 2),
        stride_(layout.strip_bytes() + 48),
        pool_(page_count_ * stride_ + 32),
        faults_(queue, std::vector<std::int32_t>{0}) {
    std::vector<std::int32_t> numbers(at(page_count_));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int32_t>(i);
    Random random(99);
    for (std::size_t i = numbers.size() - 1; i > 0; --i) std::swap(numbers[i], numbers[random.bits() % (i + 1)]);
    table_.assign(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(sequences * table_pages));
    tables_.emplace(queue, table_);
    fill(queue, pool_.data(), 0xFF, pool_.size_bytes());
  }

  KvPages pages() const {
    return {layout_,
            pool_.data() + 32,
            stride_,
            page_count_,
            tables_->tensor({std::ssize(table_) / table_pages_, table_pages_}),
            faults_.tensor({1})};
  }
  /// [S, P], as one row.
  const std::vector<std::int32_t>& table() const { return table_; }
  void set_table(std::vector<std::int32_t> table) {
    table_ = std::move(table);
    tables_.emplace(queue_, table_);
  }
  std::int64_t page_count() const { return page_count_; }

  /// The bits of KvFault since the last call.
  std::int32_t faults() {
    const std::int32_t bits = faults_.values()[0];
    fill(queue_, faults_.data(), 0, 4);
    return bits;
  }
  /// Everything, with what lies around the strips.
  std::vector<unsigned char> bytes() const {
    std::vector<unsigned char> all(at(pool_.size_bytes()));
    copy_to_host(queue_, all.data(), pool_.data(), pool_.size_bytes());
    queue_.synchronize();
    return all;
  }
  /// Where in bytes() row [part][head][token of the slot] of a page of the pool begins, and where its scale is.
  std::int64_t row(std::int32_t page, int part, std::int64_t head, std::int64_t slot) const {
    return strip(page) + row_number(part, head, slot) * layout_.head_dim * layout_.value_bytes();
  }
  std::int64_t scale(std::int32_t page, int part, std::int64_t head, std::int64_t slot) const {
    return strip(page) + layout_.scales_offset() + row_number(part, head, slot) * 4;
  }

 private:
  std::int64_t strip(std::int32_t page) const { return 32 + page * stride_; }
  std::int64_t row_number(int part, std::int64_t head, std::int64_t slot) const {
    return (part * layout_.heads + head) * kv_page_tokens + slot % kv_page_tokens;
  }

  Queue& queue_;
  KvLayout layout_;
  std::int64_t table_pages_, page_count_, stride_;
  std::vector<std::int32_t> table_;
  DeviceBuffer pool_;
  std::optional<OnDevice<std::int32_t>> tables_;
  OnDevice<std::int32_t> faults_;
};

/// The heads of `x` [..., dim] as pages of this kind give them back.
inline std::vector<float> stored(std::vector<float> x, std::int64_t dim, KvKind kind) {
  for (std::size_t first = 0; first < x.size(); first += at(dim)) {
    float largest = 0;
    for (std::size_t d = first; d < first + at(dim); ++d) largest = std::max(largest, std::abs(x[d]));
    const float scale = largest / 127.0f;
    for (std::size_t d = first; d < first + at(dim); ++d) {
      if (kind == KvKind::bf16)
        x[d] = from_bf16(to_bf16(x[d]));
      else
        x[d] = largest > 0 ? std::nearbyint(x[d] * (127.0f / largest)) * scale : 0.0f;
    }
  }
  return x;
}

inline std::vector<float> rounded_to_bf16(std::vector<float> x) {
  for (float& value : x) value = from_bf16(to_bf16(value));
  return x;
}

}  // namespace lectern::kernels::cuda::test
