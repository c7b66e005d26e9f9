#include "atomics.h"

namespace emu {

void before_atomic(const void* address) {
  Machine& m = machine();
  if (m.wants_to_yield()) m.give_way(false);
  if (!thread_sanitized) return;
  const Thread& self = m.self();
  const bool shared = self.block->shared.in_arena(address);
  if (shared ? self.fenced_block : self.fenced_device) release(const_cast<void*>(address));
}

void after_atomic(void* address) {
  acquire(address);
}

}  // namespace emu
