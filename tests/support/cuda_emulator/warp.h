// Barriers of a block, and what the lanes of a warp do together, under CUDA's names. Every function ends with the place
// of its call: faults are reported by it, and lanes that meet must come from the same one.
#pragma once

#include <cstring>
#include <type_traits>

#include "machine.h"
#include "sanitizers.h"

namespace emu {

inline constexpr unsigned all_lanes = ~0u;

template <class Body>
inline void for_lanes(unsigned lanes, Body body) {
  for (; lanes; lanes &= lanes - 1) body(__builtin_ctz(lanes));
}

/// Each lane of `mask` gives an operand In and gets a result Out; `exchange` is a captureless lambda.
template <class In, class Out>
inline Out exchange(unsigned mask, const char* operation, int parameter, const In& operand,
                    void (*carry_out)(Collective&), Place place, bool orders_memory = false) {
  Out result;
  machine().collective(mask, operation, parameter, &operand, &result, carry_out, orders_memory, place);
  return result;
}

template <class T>
struct Shuffled {
  T value;
  int source;  // lane
};

template <class T>
inline T shuffle(unsigned mask, const char* operation, T value, int source, int width, Place place) {
  static_assert(std::is_trivially_copyable_v<T>);
  const Shuffled<T> operand{value, source};
  return exchange<Shuffled<T>, T>(
      mask, operation, width, operand,
      [](Collective& c) {
        for_lanes(c.arrived, [&](int lane) {
          const int from = static_cast<const Shuffled<T>*>(c.in[lane])->source;
          if (c.arrived >> from & 1u)
            *static_cast<T*>(c.out[lane]) = static_cast<const Shuffled<T>*>(c.in[from])->value;
          else
            std::memset(c.out[lane], 0xFF, sizeof(T));  // a lane that takes no part: undefined on the device
        });
      },
      place);
}

/// Gives every lane of the mask `combine(a, b)` over all of them, lowest lane first.
template <class T, class Combine>
inline T reduce(unsigned mask, const char* operation, T value, Combine, Place place) {
  return exchange<T, T>(
      mask, operation, 0, value,
      [](Collective& c) {
        bool first = true;
        T total{};
        for_lanes(c.arrived, [&](int lane) {
          const T& next = *static_cast<const T*>(c.in[lane]);
          total = first ? next : Combine{}(total, next);
          first = false;
        });
        for_lanes(c.arrived, [&](int lane) { *static_cast<T*>(c.out[lane]) = total; });
      },
      place);
}

/// The butterfly of shuffles that the device runs, in one step: the same bits in every lane. Groups of `width` lanes.
template <class T, class Combine>
inline T butterfly(const char* operation, T value, int width, Combine, Place place) {
  return exchange<T, T>(
      all_lanes, operation, width, value,
      [](Collective& c) {
        T now[32], next[32];
        for (int lane = 0; lane < 32; ++lane)
          if (c.arrived >> lane & 1u)
            now[lane] = *static_cast<const T*>(c.in[lane]);
          else
            std::memset(&now[lane], 0xFF, sizeof(T));
        for (int step = c.parameter / 2; step > 0; step /= 2) {
          for (int lane = 0; lane < 32; ++lane) next[lane] = Combine{}(now[lane], now[lane ^ step]);
          std::memcpy(now, next, sizeof now);
        }
        for_lanes(c.arrived, [&](int lane) { *static_cast<T*>(c.out[lane]) = now[lane]; });
      },
      place);
}

/// Inclusive scan over the lanes by the shuffles that the device runs (Hillis and Steele): the same bits.
template <class T, class Combine>
inline T scan(const char* operation, T value, Combine, Place place) {
  return exchange<T, T>(
      all_lanes, operation, 0, value,
      [](Collective& c) {
        T now[32], next[32];
        for (int lane = 0; lane < 32; ++lane)
          if (c.arrived >> lane & 1u)
            now[lane] = *static_cast<const T*>(c.in[lane]);
          else
            std::memset(&now[lane], 0xFF, sizeof(T));
        for (int step = 1; step < 32; step *= 2) {
          for (int lane = 0; lane < 32; ++lane)
            next[lane] = lane >= step ? Combine{}(now[lane - step], now[lane]) : now[lane];
          std::memcpy(now, next, sizeof now);
        }
        for_lanes(c.arrived, [&](int lane) { *static_cast<T*>(c.out[lane]) = now[lane]; });
      },
      place);
}

inline unsigned ballot(unsigned mask, const char* operation, bool predicate, Place place) {
  return exchange<bool, unsigned>(
      mask, operation, 0, predicate,
      [](Collective& c) {
        unsigned bits = 0;
        for_lanes(c.arrived, [&](int lane) { bits |= unsigned{*static_cast<const bool*>(c.in[lane])} << lane; });
        for_lanes(c.arrived, [&](int lane) { *static_cast<unsigned*>(c.out[lane]) = bits; });
      },
      place);
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a + b);
  }
};
struct Greater {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) return std::fmax(a, b);
    return a > b ? a : b;
  }
};
struct Lesser {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) return std::fmin(a, b);
    return a < b ? a : b;
  }
};
struct BitAnd {
  unsigned operator()(unsigned a, unsigned b) const { return a & b; }
};
struct BitOr {
  unsigned operator()(unsigned a, unsigned b) const { return a | b; }
};
struct BitXor {
  unsigned operator()(unsigned a, unsigned b) const { return a ^ b; }
};

inline int lane_of_this_thread() {
  return machine().self().lane;
}

}  // namespace emu

// Barriers
// -------------------------------------------------------------------------------------------------------------

inline void __syncthreads(emu::Place place = emu::Place::here()) {
  emu::machine().block_barrier(0, 0, true, 0, "__syncthreads", place);
}
inline int __syncthreads_count(int predicate, emu::Place place = emu::Place::here()) {
  return emu::machine().block_barrier(0, 0, true, predicate != 0, "__syncthreads_count", place);
}
inline int __syncthreads_or(int predicate, emu::Place place = emu::Place::here()) {
  return emu::machine().block_barrier(0, 0, true, predicate != 0, "__syncthreads_or", place) != 0;
}
inline int __syncthreads_and(int predicate, emu::Place place = emu::Place::here()) {
  int arrived = 0;
  return emu::machine().block_barrier(0, 0, true, predicate != 0, "__syncthreads_and", place, &arrived) == arrived;
}
inline void __syncwarp(unsigned mask = emu::all_lanes, emu::Place place = emu::Place::here()) {
  emu::machine().collective(
      mask, "__syncwarp", 0, nullptr, nullptr, [](emu::Collective&) {}, true, place);
}

// Shuffles and votes
// ---------------------------------------------------------------------------------------------------

template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, emu::Place place = emu::Place::here()) {
  const int base = emu::lane_of_this_thread() & ~(width - 1);
  return emu::shuffle(mask, "__shfl_sync", value, base + (source & (width - 1)), width, place);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, emu::Place place = emu::Place::here()) {
  const int lane = emu::lane_of_this_thread(), source = lane - static_cast<int>(delta);
  return emu::shuffle(mask, "__shfl_up_sync", value, source < (lane & ~(width - 1)) ? lane : source, width, place);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                          emu::Place place = emu::Place::here()) {
  const int lane = emu::lane_of_this_thread(), source = lane + static_cast<int>(delta);
  return emu::shuffle(mask, "__shfl_down_sync", value, source > (lane | (width - 1)) ? lane : source, width, place);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, emu::Place place = emu::Place::here()) {
  // As in the PTX manual: beyond the end of the group's own and all lower groups a lane keeps its own value.
  const int lane = emu::lane_of_this_thread(), source = lane ^ lane_mask;
  return emu::shuffle(mask, "__shfl_xor_sync", value, source > (lane | (width - 1)) ? lane : source, width, place);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, emu::Place place = emu::Place::here()) {
  return emu::ballot(mask, "__ballot_sync", predicate != 0, place);
}
inline int __any_sync(unsigned mask, int predicate, emu::Place place = emu::Place::here()) {
  return emu::ballot(mask, "__any_sync", predicate != 0, place) != 0;
}
inline int __all_sync(unsigned mask, int predicate, emu::Place place = emu::Place::here()) {
  return emu::ballot(mask, "__all_sync", predicate == 0, place) == 0;
}
template <class T>
inline unsigned __match_any_sync(unsigned mask, T value, emu::Place place = emu::Place::here()) {
  return emu::exchange<T, unsigned>(
      mask, "__match_any_sync", 0, value,
      [](emu::Collective& c) {
        emu::for_lanes(c.arrived, [&](int lane) {
          unsigned same = 0;
          emu::for_lanes(c.arrived, [&](int other) {
            if (*static_cast<const T*>(c.in[lane]) == *static_cast<const T*>(c.in[other])) same |= 1u << other;
          });
          *static_cast<unsigned*>(c.out[lane]) = same;
        });
      },
      place);
}
template <class T>
inline T __reduce_add_sync(unsigned mask, T value, emu::Place place = emu::Place::here()) {
  return emu::reduce(mask, "__reduce_add_sync", value, emu::Add{}, place);
}
template <class T>
inline T __reduce_max_sync(unsigned mask, T value, emu::Place place = emu::Place::here()) {
  return emu::reduce(mask, "__reduce_max_sync", value, emu::Greater{}, place);
}
template <class T>
inline T __reduce_min_sync(unsigned mask, T value, emu::Place place = emu::Place::here()) {
  return emu::reduce(mask, "__reduce_min_sync", value, emu::Lesser{}, place);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, emu::Place place = emu::Place::here()) {
  return emu::reduce(mask, "__reduce_and_sync", value, emu::BitAnd{}, place);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, emu::Place place = emu::Place::here()) {
  return emu::reduce(mask, "__reduce_or_sync", value, emu::BitOr{}, place);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, emu::Place place = emu::Place::here()) {
  return emu::reduce(mask, "__reduce_xor_sync", value, emu::BitXor{}, place);
}

// What gpu.h offers on both sides
// --------------------------------------------------------------------------------------

namespace gpu {

template <int WIDTH = 32, class T>
inline T warp_sum(T value, emu::Place place = emu::Place::here()) {
  return emu::butterfly("warp_sum", value, WIDTH, emu::Add{}, place);
}
template <int WIDTH = 32, class T>
inline T warp_max(T value, emu::Place place = emu::Place::here()) {
  return emu::butterfly("warp_max", value, WIDTH, emu::Greater{}, place);
}
template <int WIDTH = 32, class T>
inline T warp_min(T value, emu::Place place = emu::Place::here()) {
  return emu::butterfly("warp_min", value, WIDTH, emu::Lesser{}, place);
}
template <class T>
inline T warp_inclusive_sum(T value, emu::Place place = emu::Place::here()) {
  return emu::scan("warp_inclusive_sum", value, emu::Add{}, place);
}
template <class T>
inline T warp_inclusive_max(T value, emu::Place place = emu::Place::here()) {
  return emu::scan("warp_inclusive_max", value, emu::Greater{}, place);
}

/// PTX bar.sync and bar.arrive: `threads` of the block meet at barrier ID (1 to 15).
template <int ID>
inline void named_barrier(int threads, emu::Place place = emu::Place::here()) {
  static_assert(ID >= 1 && ID < emu::named_barriers);
  emu::machine().block_barrier(ID, threads, true, 0, "named_barrier", place);
}
template <int ID>
inline void named_barrier_arrive(int threads, emu::Place place = emu::Place::here()) {
  static_assert(ID >= 1 && ID < emu::named_barriers);
  emu::machine().block_barrier(ID, threads, false, 0, "named_barrier_arrive", place);
}
inline void grid_sync(emu::Place place = emu::Place::here()) {
  emu::machine().grid_barrier(place);
}
inline void wait_for_previous_grid(emu::Place place = emu::Place::here()) {
  emu::machine().wait_for_previous_grid(place);
}
inline void allow_next_grid() {}

}  // namespace gpu
