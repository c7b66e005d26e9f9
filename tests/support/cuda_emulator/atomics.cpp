#include "atomics.h"

namespace emu {

void before_atomic() {
  Machine& m = machine();
  if (m.wants_to_yield()) m.give_way(false);
}

void after_atomic(void* address, bool fenced) {
  if (!thread_sanitized) return;
  acquire(address);
  const Thread& self = machine().self();
  const bool in_shared = self.block->shared.in_arena(address);
  // Behind the operation, so that what is released holds the operation itself: a plain store that sets a counter back
  // does not race with it.
  if (fenced || (in_shared ? self.fenced_block : self.fenced_device)) release(address);
}

}  // namespace emu
