#include "kernels/kv_write.h"

#include <cstring>

#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

void kv_write(Stream& stream, ConstTensor k, ConstTensor v, KvShape shape, KvStrips strips, std::int64_t first_slot) {
  const std::int64_t dim = shape.head_dim, bytes = row_bytes(shape.type, dim);
  stream.pool().parallel_for(k.dim(0), 16, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t t = first; t < last; ++t) {
      const std::int64_t slot = first_slot + t;
      std::byte* strip = strips[static_cast<std::size_t>(slot / kv_page_tokens)];
      for (std::int64_t part = 0; part < 2; ++part) {
        for (std::int64_t head = 0; head < shape.heads; ++head) {
          const float* from = floats(part == 0 ? k : v) + (t * shape.heads + head) * dim;
          std::byte* to = strip + ((part * shape.heads + head) * kv_page_tokens + slot % kv_page_tokens) * bytes;
          if (shape.type == DType::bf16)
            stream.loops().to_bf16(from, dim, reinterpret_cast<std::uint16_t*>(to));
          else
            std::memcpy(to, from, static_cast<std::size_t>(bytes));
        }
      }
    }
  });
}

}  // namespace lectern::kernels::cpu
