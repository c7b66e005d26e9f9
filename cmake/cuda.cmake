# The CUDA toolkit, if it is there. Sets LECTERN_CUDA_NATIVE (nvcc compiles the kernels for devices) and
# LECTERN_CUDA_EMULATED (its headers are there: the emulator's tests can be built). Without a toolkit both are off, and
# everything of CUDA is left out.
option(LECTERN_CUDA "Build the CUDA kernels and their emulated tests where the CUDA toolkit (12 or newer) is installed" ON)
set(LECTERN_CUDA_ARCHITECTURES "90-real" CACHE STRING
  "What nvcc compiles for. One keeps development builds quick; the release preset has every one that is supported")
set(LECTERN_CUDA_NATIVE OFF)
set(LECTERN_CUDA_EMULATED OFF)

if(LECTERN_CUDA)
  find_program(LECTERN_NVCC nvcc PATHS /usr/local/cuda/bin)
  mark_as_advanced(LECTERN_NVCC)
  if(LECTERN_NVCC)
    execute_process(COMMAND ${LECTERN_NVCC} --version OUTPUT_VARIABLE nvcc_version ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+)" nvcc_version "${nvcc_version}")
    if(CMAKE_MATCH_1 AND CMAKE_MATCH_1 GREATER_EQUAL 12)
      get_filename_component(cuda_root ${LECTERN_NVCC} REALPATH)
      get_filename_component(cuda_root ${cuda_root}/../.. ABSOLUTE)
    else()
      message(STATUS "CUDA: ${LECTERN_NVCC} is older than release 12; CUDA is left out")
    endif()
  endif()
endif()

if(cuda_root)
  find_path(LECTERN_CUDA_INCLUDE cuda_bf16.h PATHS ${cuda_root}/include ${cuda_root}/targets/x86_64-linux/include NO_DEFAULT_PATH)
  mark_as_advanced(LECTERN_CUDA_INCLUDE)
  if(LECTERN_CUDA_INCLUDE AND LECTERN_TESTS)
    set(LECTERN_CUDA_EMULATED ON)
  endif()
  # Sanitizers look at the emulated kernels; there is nothing of the native ones that they could see.
  if(LECTERN_CUDA_INCLUDE AND NOT LECTERN_SANITIZE)
    set(CMAKE_CUDA_COMPILER ${LECTERN_NVCC})
    set(CMAKE_CUDA_ARCHITECTURES ${LECTERN_CUDA_ARCHITECTURES})
    enable_language(CUDA)
    # CMake 3.25 does not know this flag of newer compilers.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA_STANDARD 20)
    set(LECTERN_CUDA_NATIVE ON)
  endif()
endif()
message(STATUS "CUDA: native kernels ${LECTERN_CUDA_NATIVE}, emulated tests ${LECTERN_CUDA_EMULATED}")
