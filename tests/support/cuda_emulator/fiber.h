// A stack of its own for each emulated CUDA thread, all on one thread of the host.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(LECTERN_EMULATOR_UCONTEXT)
#include <ucontext.h>
#define LECTERN_EMULATOR_UCONTEXT 1
#endif

namespace emu {

/// A place where execution can be left and taken up again: the host's own stack, or one made by start().
class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Gives the fiber a stack (once) and makes it begin in `entry`, which never returns.
  void start(void (*entry)());
  /// For the fiber of the calling host thread: its stack's bounds, for AddressSanitizer.
  void adopt_host_stack();
  /// Leaves `this`, which must be what runs now, and goes on with `next`.
  void switch_to(Fiber& next);
  /// First thing that `entry` does.
  static void arrived();

  /// The stack holds this address; the page below it is not accessible.
  bool overflowed_to(const void* address) const;
  const char* stack_bottom() const { return bottom_; }
  std::size_t stack_bytes() const { return size_; }

  static constexpr std::size_t usable_stack_bytes = std::size_t{256} << 10;

 private:
  void finish_switch();

  void* stack_pointer_ = nullptr;
  char* mapping_ = nullptr;
  const char* bottom_ = nullptr;
  std::size_t size_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* tsan_fiber_ = nullptr;  // ThreadSanitizer's
#if defined(LECTERN_EMULATOR_UCONTEXT)
  ucontext_t context_;
#endif
};

}  // namespace emu
