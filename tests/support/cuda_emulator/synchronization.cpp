// Barriers and the exchange of values within a warp. A waiting thread notes what it waits for; whoever completes that
// finds the waiters by it and puts them in line, lowest thread first.
#include <map>
#include <tuple>

#include "machine.h"
#include "sanitizers.h"

namespace emu {

namespace {
std::string text(Place place) {
  return std::string(place.file) + ":" + std::to_string(place.line);
}
}  // namespace

int Machine::block_barrier(int id, int needed, bool waits, int predicate, const char* name, Place place, int* arrived) {
  if (id < 0 || id >= named_barriers) fail("there is no barrier " + std::to_string(id), place);
  if (id != 0 && (needed <= 0 || needed % 32 != 0))
    fail(std::string(name) + " for " + std::to_string(needed) + " threads: must be a positive multiple of 32", place);
  Block& block = *current_->block;
  return arrive(block.barriers[id], &block, needed, waits, predicate, name, place, arrived);
}

void Machine::grid_barrier(Place place) {
  if (!grid_->cooperative) fail("grid_sync in a kernel that was not launched by LAUNCH_COOP", place);
  arrive(grid_barrier_, nullptr, 0, true, 0, "grid_sync", place, nullptr);
}

void Machine::wait_for_previous_grid(Place place) {
  if (ahead_) {
    current_->waits_for = &ahead_;
    current_->waits_in = "wait_for_previous_grid";
    current_->waits_at = place;
    ++waiting_for_previous_;
    wait_turn();
  }
  acquire(&previous_edge_);
}

int Machine::arrive(Barrier& barrier, Block* block, int needed, bool waits, int predicate, const char* name,
                    Place place, int* arrived) {
  Thread& me = *current_;
  if (barrier.arrived == 0) {
    barrier.place = place;
    barrier.needed = needed;
    barrier.count = 0;
  } else if (needed == 0 && !(barrier.place == place)) {
    fail("divergent barrier: " + std::string(name) + " while others wait at " + text(barrier.place), place);
  } else if (barrier.needed != needed) {
    fail(std::string(name) + " for " + std::to_string(needed) + " threads while others wait for " +
             std::to_string(barrier.needed),
         place);
  }
  const unsigned phase = barrier.phase % 2;
  release(&barrier.edges[phase]);
  barrier.count += predicate;
  ++barrier.arrived;
  idle_turns_ = 0;
  const std::uint64_t everyone = block ? static_cast<std::uint64_t>(block->live) : live_threads_;
  const bool last =
      static_cast<std::uint64_t>(barrier.arrived) == (needed ? static_cast<std::uint64_t>(needed) : everyone);
  if (waits) {
    me.waits_for = &barrier;
    me.waits_in = name;
    me.waits_at = place;
  }
  if (last) complete_barrier(barrier, block, waits ? &me : nullptr);
  if (!waits) return 0;
  if (!last || !goes_on(&me)) wait_turn();
  acquire(&barrier.edges[phase]);
  if (arrived) *arrived = barrier.last_arrived;
  return barrier.last_count;
}

void Machine::complete_barrier(Barrier& barrier, Block* block, Thread* last) {
  barrier.last_count = barrier.count;
  barrier.last_arrived = barrier.arrived;
  barrier.arrived = 0;
  ++barrier.phase;
  const Thread* ahead = goes_on(last) ? last : nullptr;
  const auto release_in = [&](Block& waiting) {
    for (int n = 0; n < waiting.thread_count; ++n) {
      Thread& thread = *waiting.threads[static_cast<std::size_t>(n)];
      if (thread.waits_for != &barrier) continue;
      thread.waits_for = nullptr;
      if (&thread != ahead) make_ready(thread);
    }
  };
  if (block) return release_in(*block);
  for (std::size_t i = 0; i < slots_in_use_; ++i) release_in(*slots_[i]);
}

void Machine::collective(unsigned mask, const char* operation, int parameter, const void* in, void* out,
                         void (*exchange)(Collective&), bool orders_memory, Place place) {
  Thread& me = *current_;
  if (!(mask >> me.lane & 1u))
    fail(std::string(operation) + ": lane " + std::to_string(me.lane) + " is not in its own mask", place);
  Warp& warp = *me.warp;
  const int slot = __builtin_ctz(mask);
  Collective& c = warp.slots[slot];
  if (c.arrived == 0) {
    c.mask = mask;
    c.operation = operation;
    c.parameter = parameter;
    c.place = place;
    c.exchange = exchange;
    warp.pending |= 1u << slot;
  } else if (c.mask != mask || c.exchange != exchange || c.parameter != parameter || !(c.place == place)) {
    fail(std::string(operation) + ": lanes of the warp do not agree; others are in " + c.operation + " at " +
             text(c.place),
         place);
  }
  const unsigned phase = c.phase % 2;
  if (orders_memory) release(&c.edges[phase]);
  c.in[me.lane] = in;
  c.out[me.lane] = out;
  c.arrived |= 1u << me.lane;
  me.waits_for = &c;
  me.waits_in = operation;
  me.waits_at = place;
  const bool last = ((c.arrived | warp.exited) & mask) == mask;
  if (last) complete_collective(*me.block, warp, slot, &me);
  if (!last || !goes_on(&me)) wait_turn();
  if (orders_memory) acquire(&c.edges[phase]);
}

void Machine::complete_collective(Block& block, Warp& warp, int slot, Thread* last) {
  Collective& c = warp.slots[slot];
  {
    const Unwatched unwatched;
    c.exchange(c);
  }
  idle_turns_ = 0;
  ++c.phase;
  warp.pending &= ~(1u << slot);
  unsigned lanes = c.arrived;
  c.arrived = 0;
  for (; lanes; lanes &= lanes - 1) {
    Thread& thread = *block.threads[static_cast<std::size_t>(warp.first_thread + __builtin_ctz(lanes))];
    thread.waits_for = nullptr;
    if (&thread != last || !goes_on(last)) make_ready(thread);
  }
}

void Machine::recheck_waiters(Block& block, Warp& warp) {
  for (unsigned pending = warp.pending; pending; pending &= pending - 1) {
    const int slot = __builtin_ctz(pending);
    const Collective& c = warp.slots[slot];
    if (((c.arrived | warp.exited) & c.mask) == c.mask) complete_collective(block, warp, slot, nullptr);
  }
  Barrier& barrier = block.barriers[0];
  if (barrier.arrived > 0 && barrier.arrived == block.live) complete_barrier(barrier, &block, nullptr);
  if (grid_barrier_.arrived > 0 && static_cast<std::uint64_t>(grid_barrier_.arrived) == live_threads_)
    complete_barrier(grid_barrier_, nullptr, nullptr);
}

void Machine::deadlock() {
  struct Group {
    int threads = 0;
    const Thread* example = nullptr;
  };
  std::map<std::tuple<std::string, std::string, int>, Group> groups;
  for (std::size_t i = 0; i < slots_in_use_; ++i) {
    for (const auto& thread : slots_[i]->threads) {
      if (!thread->alive || !thread->waits_for) continue;
      Group& group = groups[{thread->waits_in, thread->waits_at.file, thread->waits_at.line}];
      if (!group.example) group.example = thread.get();
      ++group.threads;
    }
  }
  std::string report = "deadlock in kernel " + grid_->name + ":";
  const char* separator = " ";
  for (const auto& [where, group] : groups) {
    const uint3 &b = group.example->block->index, &t = group.example->index;
    report += separator + std::to_string(group.threads) + " thread(s) wait in " + std::get<0>(where) + " at " +
              std::get<1>(where) + ":" + std::to_string(std::get<2>(where)) + ", e.g. block (" + std::to_string(b.x) +
              "," + std::to_string(b.y) + "," + std::to_string(b.z) + ") thread (" + std::to_string(t.x) + "," +
              std::to_string(t.y) + "," + std::to_string(t.z) + ")";
    separator = "; ";
  }
  leave(report);
}

}  // namespace emu
