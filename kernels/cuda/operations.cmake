# One operation a line: kernels/cuda/NAME.cu with its contract NAME.h, and tests/kernels/cuda/NAME_test.cpp. The native
# library, the emulated one and their tests are all built from this list.
set(LECTERN_CUDA_OPERATIONS
  embed_rows
  matmul
  matmul_cublas
  matvec
  moe_combine
  moe_experts_decode
  moe_experts_prefill
  moe_route
  moe_sort
  rms_norm
)
# Plain C++ beside them.
set(LECTERN_CUDA_HOST_SOURCES
  check.cpp
  device_buffer.cpp
  product.cpp
  queue.cpp
)
