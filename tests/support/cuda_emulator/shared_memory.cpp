// The emulator owns the memory, rather than `static` variables, so that it can fill it per block, put red zones around
// each variable and keep several blocks alive at once. 0xFF is a NaN in float, bf16 and half: what is read before it is
// written spoils the result.
#include "shared_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sanitizers.h"

namespace emu {

namespace {
constexpr unsigned char garbage = 0xFF, canary = 0xC9;

std::size_t round_up(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}
}  // namespace

SharedMemory::SharedMemory() {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* mapping = mmap(nullptr, arena_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED || mprotect(static_cast<char*>(mapping) + arena_bytes, page, PROT_NONE) != 0) {
    std::fprintf(stderr, "cuda emulator: no memory for the shared memory of a block\n");
    std::abort();
  }
  base_ = static_cast<unsigned char*>(mapping);
}

SharedMemory::~SharedMemory() {
  unpoison(base_, arena_bytes);
  munmap(base_, arena_bytes + static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
}

void SharedMemory::begin_block(std::size_t dynamic_bytes, std::size_t limit_bytes) {
  const Unwatched unwatched;
  count_ = 0;
  static_bytes_ = 0;
  limit_bytes_ = limit_bytes;
  if (address_sanitized) {
    poison(base_, arena_bytes);
  } else {
    std::memset(base_, canary, red_zone);
  }
  used_ = red_zone;
  place(nullptr, dynamic_bytes);
}

void* SharedMemory::place(const void* key, std::size_t size) {
  const std::size_t offset = used_, end = offset + size;
  const std::size_t next = round_up(end + red_zone, alignment);
  if (next > arena_bytes || count_ == variables_.size()) return nullptr;
  variables_[count_++] = {key, offset, size};
  unpoison(base_ + offset, size);
  std::memset(base_ + offset, garbage, size);
  if (!address_sanitized) std::memset(base_ + end, canary, next - end);
  used_ = next;
  return base_ + offset;
}

void* SharedMemory::variable(const void* key, std::size_t size) {
  for (std::size_t i = 1; i < count_; ++i)
    if (variables_[i].key == key) return base_ + variables_[i].offset;
  const Unwatched unwatched;
  static_bytes_ += size;
  if (variables_[0].size + static_bytes_ > limit_bytes_) return nullptr;
  return place(key, size);
}

bool SharedMemory::contains(const void* address, std::size_t size) const {
  const auto* at = static_cast<const unsigned char*>(address);
  for (std::size_t i = 0; i < count_; ++i) {
    const unsigned char* begin = base_ + variables_[i].offset;
    if (at >= begin && at + size <= begin + variables_[i].size) return true;
  }
  return false;
}

std::string SharedMemory::damage() const {
  if (address_sanitized) return {};
  const Unwatched unwatched;
  std::size_t at = 0;
  for (std::size_t i = 0; i <= count_; ++i) {
    const std::size_t zone_end = i < count_ ? variables_[i].offset : used_;
    for (; at < zone_end; ++at) {
      if (base_[at] == canary) continue;
      const Variable& before = variables_[i == 0 ? 0 : i - 1];
      const std::string which = i <= 1 ? "the dynamic array" : "shared variable " + std::to_string(i - 1);
      if (i == 0) return "shared memory was written before the dynamic array";
      return "shared memory was written " + std::to_string(at - before.offset - before.size) + " bytes behind " +
             which + " of " + std::to_string(before.size) + " bytes";
    }
    if (i < count_) at = variables_[i].offset + variables_[i].size;
  }
  return {};
}

}  // namespace emu
