// out = x w^T by cuBLAS: the alternative to matmul.h where a row's bits need not outlive their prefill.
#pragma once

#include <span>

#include "kernels/cuda/product.h"
#include "kernels/cuda/queue.h"

struct cublasContext;

namespace lectern::kernels::cuda {

/// cuBLAS for one queue, which must outlive it. Only programs that use this need libcublas.
class Cublas {
 public:
  /// Throws Error{device}, Error{out_of_memory}.
  explicit Cublas(Queue& queue);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  Queue& queue() const { return queue_; }
  cublasContext* handle() const { return handle_; }

 private:
  Queue& queue_;
  DeviceBuffer workspace_;  // its own, fixed: products may be captured, and repeat their bits
  cublasContext* handle_ = nullptr;
};

/// Rows of quantized weights that are dequantized at a time.
inline constexpr std::int64_t cublas_weight_rows = 8192;

/// As matmul (types, shapes, aliasing, errors), and the same roundings: x and quantized weights to bf16, sums in f32,
/// in an order of cuBLAS's choice. f32 and f16 weights, and K no multiple of 32, go to matmul itself. Bits: the same
/// call (T, K and all N, in this order, on the same card and version) gives the same bits. But cuBLAS chooses kernels,
/// and how they split K, by shape: a row's bits change with T and may change with the row's place, so a prefill that
/// was cut elsewhere, or resumed from a cache, gives other bits. Padding T to a multiple would fix the shape and not
/// the place. Where contract C2 holds (a warm prefill equals a cold one), use matmul.
void matmul_by_cublas(Cublas& cublas, ConstTensor x, std::span<const Product> products);
/// What it takes from the queue's workspace at most.
std::int64_t matmul_by_cublas_workspace_bytes(std::int64_t tokens, std::int64_t columns);

}  // namespace lectern::kernels::cuda
