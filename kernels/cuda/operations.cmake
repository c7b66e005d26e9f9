# One operation a line: kernels/cuda/NAME.cu with its contract NAME.h, and tests/kernels/cuda/NAME_test.cpp. The native
# library, the emulated one and their tests are all built from this list.
set(LECTERN_CUDA_OPERATIONS
  attention_decode
  attention_prefill
  causal_conv1d
  delta_chunks
  delta_gates
  delta_inputs
  delta_rule
  delta_step
  elementwise
  embed_rows
  kv_write
  matmul
  matmul_cublas
  matvec
  moe_combine
  moe_experts_decode
  moe_experts_prefill
  moe_route
  moe_sort
  norm_rotary_write
  rms_norm
  rotary
  sampling
)
# Plain C++ beside them.
set(LECTERN_CUDA_HOST_SOURCES
  check.cpp
  device_buffer.cpp
  kv_page.cpp
  product.cpp
  queue.cpp
)
