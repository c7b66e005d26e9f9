#include "inference/layer_pass.h"

#include <algorithm>
#include <cstring>

#include "kernels/matmul.h"
#include "kernels/matvec.h"

namespace lectern::inference {

namespace {
constexpr std::int64_t matvec_rows = 8;  // as in kernels/matvec.h
}

void project(LayerPass& pass, kernels::ConstTensor x, kernels::ConstTensor w, kernels::Tensor out) {
  if (pass.kind == RowKind::prefill) {
    kernels::matmul(pass.stream, x, w, out);
    return;
  }
  for (std::int64_t first = 0; first < x.dim(0); first += matvec_rows) {
    const std::int64_t count = std::min(matvec_rows, x.dim(0) - first);
    kernels::ConstTensor rows = x;
    rows.data += first * kernels::row_bytes(x.type, x.columns());
    rows.shape[0] = count;
    kernels::matvec(pass.stream, rows, w, slice(out, first, count));
  }
}

kernels::Tensor slice(kernels::Tensor tensor, std::int64_t first, std::int64_t count) {
  tensor.data += first * (tensor.size_bytes() / std::max<std::int64_t>(tensor.dim(0), 1));
  tensor.shape[0] = count;
  return tensor;
}

void copy_columns(kernels::ConstTensor x, std::int64_t column, kernels::Tensor out) {
  const auto* from = reinterpret_cast<const float*>(x.data) + column;
  auto* to = reinterpret_cast<float*>(out.data);
  const std::int64_t columns = out.size_bytes() / static_cast<std::int64_t>(sizeof(float)) / x.dim(0);
  for (std::int64_t row = 0; row < x.dim(0); ++row)
    std::memcpy(to + row * columns, from + row * x.columns(), static_cast<std::size_t>(columns) * sizeof(float));
}

}  // namespace lectern::inference
