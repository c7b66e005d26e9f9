// Whether this build looks for faults of memory or threads, which takes ten times as long: long loops are cut short
// then.
#pragma once

namespace lectern::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif

}  // namespace lectern::test
