// What the emulator tells AddressSanitizer and ThreadSanitizer; nothing in other builds. The emulator's own sources are
// compiled without ThreadSanitizer's pass (their state belongs to no CUDA thread), so the build defines
// LECTERN_EMULATOR_TSAN.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(LECTERN_EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void __tsan_read_range(void* address, unsigned long size);
void __tsan_write_range(void* address, unsigned long size);
}
#endif

namespace emu {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitized = true;
inline void poison(const void* address, std::size_t size) {
  __asan_poison_memory_region(address, size);
}
inline void unpoison(const void* address, std::size_t size) {
  __asan_unpoison_memory_region(address, size);
}
#else
inline constexpr bool address_sanitized = false;
inline void poison(const void*, std::size_t) {}
inline void unpoison(const void*, std::size_t) {}
#endif

// ThreadSanitizer is the race checker: each CUDA thread is one of its threads, and only what orders threads on the
// device (barriers, __syncwarp, the start and end of blocks, fenced atomics) is told to it as such.
#if defined(LECTERN_EMULATOR_TSAN)
inline constexpr bool thread_sanitized = true;
inline void acquire(void* address) {
  __tsan_acquire(address);
}
inline void release(void* address) {
  __tsan_release(address);
}
/// Small memcpy and memset are expanded after the sanitizer's pass, so primitives that copy must name what they touch.
inline void note_read(const void* address, std::size_t size) {
  __tsan_read_range(const_cast<void*>(address), size);
}
inline void note_write(void* address, std::size_t size) {
  __tsan_write_range(address, size);
}
/// While it lives, what this thread touches is the emulator's own business.
struct Unwatched {
  Unwatched() {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  }
  ~Unwatched() {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};
#else
inline constexpr bool thread_sanitized = false;
inline void acquire(void*) {}
inline void release(void*) {}
inline void note_read(const void*, std::size_t) {}
inline void note_write(void*, std::size_t) {}
struct Unwatched {
  Unwatched() {}
  ~Unwatched() {}
};
#endif

}  // namespace emu
