// Scheduling. Ready threads stand in a ring; a thread that must wait takes the next one out of it and switches there
// directly. A block that has ended hands its slot, with all fibers, to the next block of the grid.
#include "machine.h"

#include <algorithm>
#include <numeric>

#include "sanitizers.h"

namespace emu {

Machine& machine_number(int number) {
  static Machine* const machines = new Machine[2];  // never destroyed: the leak check runs after static destructors
  return machines[number];
}

std::string Machine::run(const Grid& grid) {
  begin(grid, false);
  return retire();
}

Machine::Progress Machine::begin(const Grid& grid, bool ahead) {
  const Settings& chosen = settings();
  grid_ = &grid;
  report_.clear();
  order_ = chosen.order;
  random_order_ = order_ == Order::random;
  uniform_ = chosen.seed % 2 == 0;
  random_ = Random(chosen.seed * 1000003 + launches_++);
  idle_turns_ = 0;
  head_ = tail_ = 0;
  live_threads_ = 0;
  grid_barrier_.arrived = 0;
  ahead_ = ahead;
  waiting_for_previous_ = 0;

  block_count_ = std::uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  next_block_ = 0;
  stride_ = 1;
  offset_ = random_order_ ? random_.below(block_count_) : 0;
  if (random_order_ && block_count_ > 1) do
      stride_ = 1 + random_.below(block_count_ - 1);
    while (std::gcd(stride_, block_count_) != 1);

  const std::uint64_t resident = static_cast<std::uint64_t>(std::max(1, chosen.resident_blocks));
  slots_in_use_ = static_cast<std::size_t>(grid.cooperative ? block_count_ : std::min(block_count_, resident));
  const std::size_t threads_per_block = std::size_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  while (ready_.size() < slots_in_use_ * threads_per_block + 1) ready_.resize(2 * ready_.size());
  while (slots_.size() < slots_in_use_) slots_.push_back(std::make_unique<Block>());
  if (fibers_abandoned_) {
    for (auto& slot : slots_)
      for (auto& thread : slot->threads) {
        thread->fiber.start(&Machine::thread_main);
        thread->alive = false;
      }
    fibers_abandoned_ = false;
  }

  for (std::size_t i = 0; i < slots_in_use_; ++i) start_block(*slots_[i]);
  release(&launch_edge_);
  return enter();
}

Machine::Progress Machine::enter() {
  host_.adopt_host_stack();
  active_machine = this;
  blockDim = grid_->threads;
  gridDim = grid_->blocks;
  Thread* first = take_ready();
  current_ = first;
  threadIdx = first->index;
  blockIdx = first->block->index;
  host_.switch_to(first->fiber);
  current_ = nullptr;
  return waiting_for_previous_ > 0 && report_.empty() ? Progress::waits : Progress::ended;
}

Machine::Progress Machine::go_on() {
  ahead_ = false;
  waiting_for_previous_ = 0;
  for (std::size_t i = 0; i < slots_in_use_; ++i)
    for (int n = 0; n < slots_[i]->thread_count; ++n) {
      Thread& thread = *slots_[i]->threads[static_cast<std::size_t>(n)];
      if (thread.waits_for != &ahead_) continue;
      thread.waits_for = nullptr;
      make_ready(thread);
    }
  release(&previous_edge_);
  return enter();
}

const std::string& Machine::retire() {
  for (std::size_t i = 0; i < slots_in_use_; ++i)
    for (char& edge : slots_[i]->end_edges) acquire(&edge);
  return report_;
}

void Machine::abandon() {
  fibers_abandoned_ = true;
}

uint3 Machine::block_at(std::uint64_t step) const {
  std::uint64_t n = step;
  if (order_ == Order::reverse) n = block_count_ - 1 - step;
  if (order_ == Order::random) n = (stride_ * step + offset_) % block_count_;
  const dim3& size = grid_->blocks;
  return {static_cast<unsigned>(n % size.x), static_cast<unsigned>(n / size.x % size.y),
          static_cast<unsigned>(n / size.x / size.y)};
}

void Machine::start_block(Block& block) {
  const Unwatched unwatched;
  const dim3& size = grid_->threads;
  block.index = block_at(next_block_++);
  block.thread_count = block.live = static_cast<int>(size.x * size.y * size.z);
  ++block.generation;
  live_threads_ += static_cast<std::uint64_t>(block.live);
  for (Barrier& barrier : block.barriers) barrier.arrived = 0;
  block.shared.begin_block(grid_->dynamic_shared_bytes, grid_->shared_limit_bytes);

  const int warps = (block.live + 31) / 32;
  while (static_cast<int>(block.warps.size()) < warps) block.warps.push_back(std::make_unique<Warp>());
  for (int w = 0; w < warps; ++w) {
    Warp& warp = *block.warps[static_cast<std::size_t>(w)];
    const int lanes = std::min(32, block.live - 32 * w);
    warp.exited = lanes == 32 ? 0 : ~0u << lanes;
    warp.first_thread = 32 * w;
    warp.pending = 0;
    for (Collective& slot : warp.slots) slot.arrived = 0;
  }
  for (int n = 0; n < block.thread_count; ++n) {
    if (static_cast<int>(block.threads.size()) <= n) {
      block.threads.push_back(std::make_unique<Thread>());
      block.threads.back()->fiber.start(&Machine::thread_main);
    }
    Thread& thread = *block.threads[static_cast<std::size_t>(n)];
    const auto number = static_cast<unsigned>(n);
    thread.block = &block;
    thread.warp = block.warps[static_cast<std::size_t>(n / 32)].get();
    thread.index = {number % size.x, number / size.x % size.y, number / size.x / size.y};
    thread.number = n;
    thread.lane = n % 32;
    thread.alive = true;
    thread.fenced_block = thread.fenced_device = false;
    thread.waits_for = nullptr;
    thread.copies.clear();
    thread.groups.clear();
    thread.uncommitted = 0;
    make_ready(thread);
  }
}

void Machine::thread_main() {
  Fiber::arrived();
  Machine& m = machine();  // fibers stay with the machine that made them
  for (;;) {
    const Block& block = *m.current_->block;
    acquire(&m.launch_edge_);
    if (!m.ahead_) acquire(&m.previous_edge_);
    acquire(const_cast<char*>(&block.end_edges[(block.generation + 1) % 2]));
    m.grid_->run();
    m.end_thread();
  }
}

void Machine::end_thread() {
  Thread& me = *current_;
  Block& block = *me.block;
  release(&block.end_edges[block.generation % 2]);
  idle_turns_ = 0;
  me.alive = false;
  --block.live;
  --live_threads_;
  me.warp->exited |= 1u << me.lane;
  recheck_waiters(block, *me.warp);
  if (block.live == 0) finish_block(block);
  Thread* next = take_ready();
  if (next == &me) {
    threadIdx = me.index;  // of the slot's next block
    blockIdx = block.index;
  } else if (next) {
    go_on_with(*next);
  } else if (live_threads_ == 0 || waiting_for_previous_ > 0) {
    me.fiber.switch_to(host_);
  } else {
    deadlock();
  }
}

void Machine::finish_block(Block& block) {
  std::string damage = block.shared.damage();
  if (!damage.empty()) leave(damage + "; seen at the end of the block" + where());
  if (next_block_ < block_count_) start_block(block);
}

Thread* Machine::take_ready() {
  if (head_ == tail_) return nullptr;
  const std::uint64_t mask = ready_.size() - 1;
  if (order_ == Order::natural) return ready_[head_++ & mask];
  if (order_ == Order::random && (uniform_ || random_.below(16) == 0)) {
    const std::uint64_t pick = head_ + random_.below(tail_ - head_);
    std::swap(ready_[pick & mask], ready_[(tail_ - 1) & mask]);
  }
  return ready_[--tail_ & mask];
}

void Machine::go_on_with(Thread& next) {
  Thread& previous = *current_;
  current_ = &next;
  threadIdx = next.index;
  blockIdx = next.block->index;
  ++switches_;
  previous.fiber.switch_to(next.fiber);
}

void Machine::wait_turn() {
  Thread* next = take_ready();
  if (!next && waiting_for_previous_ > 0) return current_->fiber.switch_to(host_);
  if (!next) deadlock();
  if (next != current_) go_on_with(*next);
}

void Machine::give_way(bool idle) {
  if (idle && ++idle_turns_ > settings().idle_turns_limit)
    leave("every thread that can run waits in a loop with __nanosleep" + where());
  // At the end that is taken last, or a loop that waits would keep its turn for ever.
  if (order_ == Order::natural)
    make_ready(*current_);
  else
    ready_[--head_ & (ready_.size() - 1)] = current_;
  wait_turn();
}

std::string Machine::where() const {
  if (!current_) return {};
  const auto three = [](const uint3& v) {
    return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
  };
  return ", kernel " + grid_->name + ", block " + three(current_->block->index) + " thread " + three(current_->index);
}

bool Machine::is_stack_overflow(const void* address) const {
  return current_ && current_->fiber.overflowed_to(address);
}

void Machine::fail(const std::string& what, Place place) {
  leave(what + ", at " + place.file + ":" + std::to_string(place.line) + where());
}

void Machine::leave(std::string report) {
  report_ = std::move(report);
  fibers_abandoned_ = true;
  current_->fiber.switch_to(host_);
  __builtin_unreachable();
}

}  // namespace emu
