// One large reservation that is never accessible beyond what is allocated. An allocation ends (rounded to 256 bytes,
// the alignment that CUDA promises) at an inaccessible page, so most overruns fault at once in every build; the
// rounding is a red zone.
#include "device_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sanitizers.h"
#include "settings.h"

namespace emu {

namespace {
constexpr std::size_t reserved_bytes = std::size_t{64} << 30, alignment = 256;
constexpr unsigned char garbage = 0xFF, canary = 0xC9;

std::size_t round_up(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}
std::uintptr_t number(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address);
}
}  // namespace

Memory& memory() {
  static Memory& instance = *new Memory;
  return instance;
}

Memory::Memory() {
  page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* mapping = mmap(nullptr, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    std::fprintf(stderr, "cuda emulator: 64 GiB of addresses cannot be reserved\n");
    std::abort();
  }
  reservation_ = static_cast<char*>(mapping);
}

void* Memory::allocate(std::size_t size, MemoryKind kind) {
  const std::size_t padded = round_up(size == 0 ? 1 : size, alignment), mapped = round_up(padded, page_);
  if (kind == MemoryKind::device && used_device_bytes_ + padded > settings().device_bytes) return nullptr;
  if (next_ + mapped + 2 * page_ > reserved_bytes) return nullptr;
  char* pages = reservation_ + next_ + page_;
  if (mprotect(pages, mapped, PROT_READ | PROT_WRITE) != 0) return nullptr;
  next_ += mapped + page_;  // the page behind is the next allocation's page in front
  char* data = pages + (mapped - padded);
  const Unwatched unwatched;
  std::memset(data, garbage, size);
  if (address_sanitized)
    poison(data + size, padded - size);
  else
    std::memset(data + size, canary, padded - size);
  allocations_[number(data)] = {size, mapped, kind, true, false};
  if (kind == MemoryKind::device) used_device_bytes_ += padded;
  return data;
}

bool Memory::free(void* address, MemoryKind kind, std::string& damage) {
  const auto found = allocations_.find(number(address));
  if (found == allocations_.end() || !found->second.live || found->second.kind != kind || found->second.adopted)
    return false;
  Allocation& allocation = found->second;
  const std::size_t padded = round_up(allocation.size == 0 ? 1 : allocation.size, alignment);
  char* data = static_cast<char*>(address);
  {
    const Unwatched unwatched;
    for (std::size_t i = allocation.size; !address_sanitized && i < padded; ++i)
      if (static_cast<unsigned char>(data[i]) != canary) {
        damage = "memory was written " + std::to_string(i - allocation.size) + " bytes behind an allocation of " +
                 std::to_string(allocation.size) + " bytes";
        break;
      }
  }
  unpoison(data, padded);
  char* pages = data + padded - allocation.mapped;
  // Gives the pages back and makes them inaccessible in one step.
  mmap(pages, allocation.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  allocation.live = false;
  if (kind == MemoryKind::device) used_device_bytes_ -= padded;
  return true;
}

void Memory::adopt(void* address, std::size_t size) {
  allocations_[number(address)] = {size, 0, MemoryKind::pinned, true, true};
}

bool Memory::disown(void* address) {
  const auto found = allocations_.find(number(address));
  if (found == allocations_.end() || !found->second.adopted) return false;
  allocations_.erase(found);
  return true;
}

const std::pair<const std::uintptr_t, Memory::Allocation>* Memory::find(const void* address) const {
  auto after = allocations_.upper_bound(number(address));
  return after == allocations_.begin() ? nullptr : &*std::prev(after);
}

MemoryKind Memory::kind_of(const void* address) const {
  const auto* found = find(address);
  if (!found || !found->second.live) return MemoryKind::pageable;
  // One past the end belongs to it: an empty range at the end of a buffer is no host pointer.
  return number(address) <= found->first + found->second.size ? found->second.kind : MemoryKind::pageable;
}

bool Memory::contains(const void* address, std::size_t size, MemoryKind kind) const {
  const auto* found = find(address);
  return found && found->second.live && found->second.kind == kind &&
         number(address) + size <= found->first + found->second.size;
}

const void* Memory::begin_of(const void* address, std::size_t& size) const {
  const auto* found = find(address);
  if (!found || !found->second.live || number(address) >= found->first + found->second.size) return nullptr;
  size = found->second.size;
  return reinterpret_cast<const void*>(found->first);
}

std::string Memory::damage() const {
  if (address_sanitized) return {};
  const Unwatched unwatched;
  for (const auto& [begin, allocation] : allocations_) {
    if (!allocation.live || allocation.adopted) continue;
    const auto* data = reinterpret_cast<const unsigned char*>(begin);
    const std::size_t padded = round_up(allocation.size == 0 ? 1 : allocation.size, alignment);
    for (std::size_t i = allocation.size; i < padded; ++i)
      if (data[i] != canary)
        return "memory was written " + std::to_string(i - allocation.size) + " bytes behind an allocation of " +
               std::to_string(allocation.size) + " bytes";
  }
  return {};
}

std::string Memory::describe(const void* address) const {
  const char* at = static_cast<const char*>(address);
  if (at < reservation_ || at >= reservation_ + reserved_bytes) return {};
  const auto* found = find(address);
  if (!found) return "before all device memory";
  const Allocation& allocation = found->second;
  const std::string what = std::string(allocation.kind == MemoryKind::pinned ? "pinned" : "device") + " memory of " +
                           std::to_string(allocation.size) + " bytes" + (allocation.live ? "" : " that was freed");
  const std::uintptr_t offset = number(address) - found->first;
  if (offset < allocation.size) return "at byte " + std::to_string(offset) + " of " + what;
  return std::to_string(offset - allocation.size) + " bytes behind " + what;
}

}  // namespace emu
