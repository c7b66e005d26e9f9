// Atomic operations, fences and waiting, under CUDA's names. To ThreadSanitizer an atomic operation acquires what was
// released at its address; it releases only if its thread has called __threadfence since the block's start, so a
// missing fence is a race there, as it is on the device.
#pragma once

#include <cstring>
#include <type_traits>

#include "machine.h"
#include "sanitizers.h"

namespace emu {

template <class T>
using Word = std::conditional_t<sizeof(T) == 8, unsigned long long,
                                std::conditional_t<sizeof(T) == 4, unsigned, unsigned short>>;

template <class To, class From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(static_cast<void*>(&to), &from, sizeof to);
  return to;
}

/// In random orders others may run before an atomic operation.
void before_atomic();
void after_atomic(void* address, bool fenced);

/// *address = next(*address), indivisibly; returns the old value.
template <class T, class Next>
inline T update(T* address, Next next, bool fenced = false) {
  before_atomic();
  auto* word = reinterpret_cast<Word<T>*>(address);
  Word<T> old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(word, &old, bits_as<Word<T>>(static_cast<T>(next(bits_as<T>(old)))), false,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  after_atomic(address, fenced);
  return bits_as<T>(old);
}

template <class T>
inline T plus(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) + static_cast<std::make_unsigned_t<T>>(b));
  else
    return a + b;
}

template <class T>
using Same = std::type_identity_t<T>;

}  // namespace emu

template <class T>
inline T atomicAdd(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T old) { return emu::plus(old, value); });
}
template <class T>
inline T atomicSub(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T old) { return static_cast<T>(old - value); });
}
template <class T>
inline T atomicMax(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T old) { return old > value ? old : value; });
}
template <class T>
inline T atomicMin(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T old) { return old < value ? old : value; });
}
template <class T>
inline T atomicExch(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T) { return value; });
}
template <class T>
inline T atomicCAS(T* address, emu::Same<T> compare, emu::Same<T> value) {
  return emu::update(address, [compare, value](T old) { return old == compare ? value : old; });
}
template <class T>
inline T atomicAnd(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T old) { return old & value; });
}
template <class T>
inline T atomicOr(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T old) { return old | value; });
}
template <class T>
inline T atomicXor(T* address, emu::Same<T> value) {
  return emu::update(address, [value](T old) { return old ^ value; });
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return emu::update(address, [limit](unsigned old) { return old >= limit ? 0u : old + 1; });
}
inline unsigned atomicDec(unsigned* address, unsigned limit) {
  return emu::update(address, [limit](unsigned old) { return old == 0 || old > limit ? limit : old - 1; });
}

inline void __threadfence_block() {
  emu::machine().self().fenced_block = true;
}
inline void __threadfence() {
  emu::machine().self().fenced_block = emu::machine().self().fenced_device = true;
}
inline void __threadfence_system() {
  __threadfence();
}
inline void __nanosleep(unsigned) {
  emu::machine().give_way(true);
}

namespace gpu {

/// atom.acq_rel.gpu.add: fences of its own on both sides.
template <class T>
inline T atomic_add_acquire_release(T* address, std::type_identity_t<T> value) {
  return emu::update(
      address, [value](T old) { return emu::plus(old, value); }, true);
}
/// ld.acquire.gpu and st.release.gpu.
template <class T>
inline T load_acquire(const T* address) {
  return emu::update(
      const_cast<T*>(address), [](T old) { return old; }, false);
}
template <class T>
inline void store_release(T* address, std::type_identity_t<T> value) {
  emu::update(
      address, [value](T) { return value; }, true);
}

}  // namespace gpu
