#include "kernels/cuda/product.h"

#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

bool is_aligned(const std::byte* address, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

}  // namespace

void require_products(const char* operation, const ConstTensor& x, std::span<const Product> products) {
  require(x.rank == 2 && is_aligned(x.data, 16) && x.dim(1) >= 1 && x.dim(1) <= product_columns, operation, {{"x", x}},
          "expected x [T, K], K from 1 to 2^20, aligned to 16 bytes");
  require(products.size() <= products_at_once, operation, {{"x", x}}, "at most 8 products at once");
  for (const Product& product : products) {
    const ConstTensor &w = product.w, &residual = product.residual;
    require(
        w.rank == 2 && w.type != DType::i32 && !w.packed && w.dim(1) == x.dim(1) &&
            w.dim(1) % block_values(w.type) == 0 && w.dim(0) <= product_rows && is_aligned(w.data, 16) &&
            is_f32(product.out, 2) && product.out.dim(0) == x.dim(0) && product.out.dim(1) == w.dim(0) &&
            is_aligned(product.out.data, 8) &&
            (!residual || (is_f32(residual, 2) && same_shape(residual, product.out))),
        operation, {{"x", x}, {"w", w}, {"out", product.out}, {"residual", residual}},
        "expected w [N, K] in whole blocks, not packed, aligned to 16 bytes, out [T, N] F32, residual [T, N] F32 or "
        "none");
  }
}

}  // namespace lectern::kernels::cuda
