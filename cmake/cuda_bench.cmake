# lectern_cuda_bench(NAME LIBRARIES x y): the benchmark of the CUDA operations, against the native or the emulated ones.
# Each line: a family of entries (tests/bench/cuda/FAMILY_entries.cpp) and the operations that it times.
set(LECTERN_BENCH_FAMILIES
  "norm: rms_norm"
  "elementwise: elementwise"
  "sampling: sampling"
  "product: embed_rows matmul matvec"
  "expert: moe_route moe_experts_decode moe_experts_prefill"
  "delta: causal_conv1d delta_inputs delta_step delta_rule"
  "attention: norm_rotary_write attention_prefill attention_decode")
function(lectern_cuda_bench name)
  cmake_parse_arguments(BENCH "" "" "LIBRARIES" ${ARGN})
  include(${CMAKE_SOURCE_DIR}/kernels/cuda/operations.cmake)
  set(folder ${CMAKE_SOURCE_DIR}/tests)
  add_executable(${name} ${folder}/bench/cuda_kernels_bench.cpp ${folder}/bench/cuda/bench.cpp
    ${folder}/gpu/device_limits.cpp ${folder}/gpu/device_timer.cpp)
  set(calls "")
  foreach(line ${LECTERN_BENCH_FAMILIES})
    string(REGEX REPLACE ":.*" "" family "${line}")
    string(REGEX REPLACE ".*: " "" operations "${line}")
    string(REPLACE " " ";" operations "${operations}")
    # A family whose operations are not all there yet is left out.
    set(complete ON)
    foreach(operation ${operations})
      if(NOT operation IN_LIST LECTERN_CUDA_OPERATIONS)
        set(complete OFF)
      endif()
    endforeach()
    if(complete)
      target_sources(${name} PRIVATE ${folder}/bench/cuda/${family}_entries.cpp)
      string(APPEND calls "LECTERN_FAMILY(${family})")
    endif()
  endforeach()
  target_compile_definitions(${name} PRIVATE "LECTERN_BENCH_FAMILIES=${calls}")
  target_include_directories(${name} SYSTEM PRIVATE ${LECTERN_CUDA_INCLUDE})
  target_link_libraries(${name} PRIVATE ${BENCH_LIBRARIES} ${CMAKE_DL_LIBS})
endfunction()
