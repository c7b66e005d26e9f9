# GoogleTest: the installed one or, where there is none, the source that `tests/gpu/run --carry-googletest` put into
# build/googletest.
set(LECTERN_GOOGLETEST ${CMAKE_SOURCE_DIR}/build/googletest)
find_package(GTest QUIET)
if(NOT GTest_FOUND)
  if(NOT EXISTS ${LECTERN_GOOGLETEST}/CMakeLists.txt)
    message(FATAL_ERROR "GoogleTest is neither installed nor in ${LECTERN_GOOGLETEST} (tests/gpu/run --carry-googletest)")
  endif()
  set(INSTALL_GTEST OFF)
  set(BUILD_GMOCK OFF)
  add_subdirectory(${LECTERN_GOOGLETEST} ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL SYSTEM)
endif()
include(GoogleTest)
