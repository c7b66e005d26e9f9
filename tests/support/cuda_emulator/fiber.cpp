// Switching costs 7 ns: six registers are pushed, the stack pointer is exchanged, six are popped. (swapcontext takes
// 170 ns, for its two system calls; it is the fallback on other processors.) The sanitizers are told of every switch,
// else they would take a stack for overrun and a CUDA thread for the host's.
#include "fiber.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "sanitizers.h"

#if !defined(LECTERN_EMULATOR_UCONTEXT)
extern "C" void lectern_emulator_switch(void** save, void* load);
asm(R"(
.text
.globl lectern_emulator_switch
.type lectern_emulator_switch, @function
lectern_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lectern_emulator_switch, .-lectern_emulator_switch
)");
#endif

namespace emu {

namespace {
Fiber* running = nullptr;  // what the last switch went to
}

Fiber::~Fiber() {
#if defined(LECTERN_EMULATOR_TSAN)
  if (mapping_ && tsan_fiber_) __tsan_destroy_fiber(tsan_fiber_);
#endif
  if (mapping_) munmap(mapping_, usable_stack_bytes + static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
}

void Fiber::start(void (*entry)()) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  if (!mapping_) {
    void* mapping = mmap(nullptr, usable_stack_bytes + page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) != 0) {
      std::fprintf(stderr, "cuda emulator: no memory for the stack of a CUDA thread\n");
      std::abort();
    }
    mapping_ = static_cast<char*>(mapping);
    // Tops at different places of their pages: else all stacks would fight for the same few lines of the caches.
    static std::size_t stacks = 0;
    bottom_ = mapping_ + page;
    size_ = usable_stack_bytes - stacks++ * 192 % 4096;
  }
  unpoison(bottom_, size_);
  fake_stack_ = nullptr;
#if defined(LECTERN_EMULATOR_TSAN)
  if (tsan_fiber_) __tsan_destroy_fiber(tsan_fiber_);
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
#if defined(LECTERN_EMULATOR_UCONTEXT)
  getcontext(&context_);
  context_.uc_stack.ss_sp = mapping_ + page;
  context_.uc_stack.ss_size = size_;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#else
  // r15 r14 r13 r12 rbx rbp, the entry, and a return address of 0 that ends backtraces and is 8 modulo 16 as the
  // entry of a function expects.
  auto* top = reinterpret_cast<std::uint64_t*>(mapping_ + page + size_) - 1;
  *top = 0;
  *--top = reinterpret_cast<std::uint64_t>(entry);
  for (int i = 0; i < 6; ++i) *--top = 0;
  stack_pointer_ = top;
#endif
}

void Fiber::adopt_host_stack() {
  struct Bounds {
    void* bottom = nullptr;
    std::size_t size = 0;
    Bounds() {
      pthread_attr_t attributes;
      if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
      pthread_attr_getstack(&attributes, &bottom, &size);
      pthread_attr_destroy(&attributes);
    }
  };
  // Once per thread of the host: glibc reads /proc/self/maps for it, which has two lines for every fiber.
  thread_local const Bounds bounds;
  bottom_ = static_cast<const char*>(bounds.bottom);
  size_ = bounds.size;
#if defined(LECTERN_EMULATOR_TSAN)
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

void Fiber::switch_to(Fiber& next) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, next.bottom_, next.size_);
#endif
#if defined(LECTERN_EMULATOR_TSAN)
  __tsan_switch_to_fiber(next.tsan_fiber_, 1);  // 1: the switch itself orders nothing
#endif
  running = &next;
#if defined(LECTERN_EMULATOR_UCONTEXT)
  swapcontext(&context_, &next.context_);
#else
  lectern_emulator_switch(&stack_pointer_, next.stack_pointer_);
#endif
  finish_switch();
}

void Fiber::finish_switch() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::arrived() {
  running->finish_switch();
}

bool Fiber::overflowed_to(const void* address) const {
  return mapping_ && address >= mapping_ && address < bottom_;
}

}  // namespace emu
