// Device and pinned memory. Addresses are never given out twice, so what is freed stays inaccessible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace emu {

enum class MemoryKind { pageable, device, pinned };

class Memory {
 public:
  Memory();
  /// Null if the device has not `size` bytes left, or the reservation is used up. Filled with garbage.
  void* allocate(std::size_t size, MemoryKind kind);
  /// False if nothing of this kind begins there. The text is not empty if bytes behind the end were written.
  bool free(void* address, MemoryKind kind, std::string& damage);
  /// cudaHostRegister: the caller's own memory.
  void adopt(void* address, std::size_t size);
  bool disown(void* address);

  MemoryKind kind_of(const void* address) const;
  /// True if [address, address + size) lies within one live allocation of `kind`.
  bool contains(const void* address, std::size_t size, MemoryKind kind) const;
  std::size_t used_device_bytes() const { return used_device_bytes_; }
  /// The red zones of all live allocations; which one was written, empty if none.
  std::string damage() const;
  /// "4 bytes behind device memory of 1024 bytes", empty for addresses that are not the device's.
  std::string describe(const void* address) const;
  /// The allocation that holds `address`, else null; its size.
  const void* begin_of(const void* address, std::size_t& size) const;

 private:
  struct Allocation {
    std::size_t size = 0, mapped = 0;
    MemoryKind kind = MemoryKind::device;
    bool live = true, adopted = false;
  };
  const std::pair<const std::uintptr_t, Allocation>* find(const void* address) const;

  char* reservation_ = nullptr;
  std::size_t next_ = 0, page_ = 4096, used_device_bytes_ = 0;
  std::map<std::uintptr_t, Allocation> allocations_;
};

Memory& memory();

}  // namespace emu
