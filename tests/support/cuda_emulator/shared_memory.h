// The shared memory of one live block: variables with red zones between them, filled with garbage for each block.
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace emu {

/// Throws nothing; faults are returned as text, empty if there is none.
class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// Forgets all variables. The dynamic array has `dynamic_bytes`; all variables together may have `limit_bytes`.
  void begin_block(std::size_t dynamic_bytes, std::size_t limit_bytes);
  unsigned char* dynamic() const { return base_ + red_zone; }
  /// The variable of this declaration (`key` is unique to it), made at its first use in the block; null if the
  /// variables of the block do not fit.
  void* variable(const void* key, std::size_t size);
  /// True if [address, address + size) lies within one variable.
  bool contains(const void* address, std::size_t size) const;
  bool in_arena(const void* address) const { return address >= base_ && address < base_ + arena_bytes; }
  /// Which red zone was written, if one was (AddressSanitizer sees it at once instead).
  std::string damage() const;
  std::size_t static_bytes() const { return static_bytes_; }

  static constexpr std::size_t red_zone = 128;
  static constexpr std::size_t alignment = 128;
  static constexpr std::size_t arena_bytes = std::size_t{256} << 10;

 private:
  struct Variable {
    const void* key;
    std::size_t offset, size;
  };
  void* place(const void* key, std::size_t size);

  unsigned char* base_;
  std::array<Variable, 64> variables_;
  std::size_t count_ = 0, used_ = 0, static_bytes_ = 0, limit_bytes_ = 0;
};

}  // namespace emu
