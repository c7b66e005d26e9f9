# What every target shares: one flag set, one way to declare a library, a program and a test.

add_library(lectern_flags INTERFACE)
target_include_directories(lectern_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_features(lectern_flags INTERFACE cxx_std_20)
set(warnings -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual)
# -lineinfo: profilers and compute-sanitizer name lines. nvcc's own code does not pass -Wconversion and -Wshadow.
target_compile_options(lectern_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:${warnings}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:-lineinfo;-Xcompiler=-Wall,-Wextra>")
if(LECTERN_SANITIZE)
  target_compile_options(lectern_flags INTERFACE -fsanitize=${LECTERN_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(lectern_flags INTERFACE -fsanitize=${LECTERN_SANITIZE})
endif()

# lectern_library(NAME sources...): a static library of the folder it is called in.
function(lectern_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC lectern_flags)
endfunction()

# lectern_test(NAME SOURCES a.cpp b.cpp LIBRARIES x y [LABELS slow]): a GoogleTest program, one ctest entry per file of
# sources; data files are found through LECTERN_SOURCE_DIR.
function(lectern_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE lectern_flags GTest::gtest_main ${TEST_LIBRARIES})
  target_compile_definitions(${name} PRIVATE LECTERN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" LECTERN_BINARY_DIR="${CMAKE_BINARY_DIR}")
  foreach(source ${TEST_SOURCES})
    get_filename_component(file ${source} NAME_WE)
    set_property(GLOBAL APPEND PROPERTY LECTERN_TEST_FILES ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}"
    ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp")
endfunction()

# lectern_qt_test(NAME SOURCES a.cpp LIBRARIES x y): one Qt Test program (QTEST_MAIN in its source), run without a display.
function(lectern_qt_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  set_target_properties(${name} PROPERTIES AUTOMOC ON)
  target_link_libraries(${name} PRIVATE lectern_flags Qt6::Test ${TEST_LIBRARIES})
  target_compile_definitions(${name} PRIVATE QT_NO_CAST_FROM_ASCII QT_NO_KEYWORDS
    LECTERN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" LECTERN_BINARY_DIR="${CMAKE_BINARY_DIR}")
  foreach(source ${TEST_SOURCES})
    set_property(GLOBAL APPEND PROPERTY LECTERN_TEST_FILES ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}"
    ENVIRONMENT "QT_QPA_PLATFORM=offscreen")
endfunction()
