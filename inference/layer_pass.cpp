#include "inference/layer_pass.h"

#include <algorithm>

#include "kernels/matvec.h"

namespace lectern::inference {

void project(LayerPass& pass, kernels::ConstTensor x, std::span<const kernels::Product> products) {
  if (pass.kind == RowKind::prefill) {
    kernels::matmul(pass.stream, x, products);
    return;
  }
  std::vector<kernels::Product> parts;
  for (std::int64_t first = 0; first < x.dim(0); first += kernels::matvec_rows) {
    const std::int64_t count = std::min(kernels::matvec_rows, x.dim(0) - first);
    kernels::ConstTensor rows = x;
    rows.data += first * kernels::row_bytes(x.type, x.columns());
    rows.shape[0] = count;
    parts.clear();
    for (const kernels::Product& product : products) parts.push_back({product.w, slice(product.out, first, count)});
    kernels::matvec(pass.stream, rows, parts);
  }
}

void project(LayerPass& pass, kernels::ConstTensor x, kernels::ConstTensor w, kernels::Tensor out) {
  const kernels::Product one{w, out};
  project(pass, x, {&one, 1});
}

kernels::Tensor slice(kernels::Tensor tensor, std::int64_t first, std::int64_t count) {
  tensor.data += first * (tensor.size_bytes() / std::max<std::int64_t>(tensor.dim(0), 1));
  tensor.shape[0] = count;
  return tensor;
}

}  // namespace lectern::inference
