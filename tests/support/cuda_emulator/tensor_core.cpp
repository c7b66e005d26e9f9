// Fragments as in the PTX manual (warp-level matrix instructions), g = lane / 4, t = lane % 4:
//   m16n8k16, 16 bits  A register i: row g + 8 (i & 1), columns 2t + 8 (i >> 1) + {0, 1}
//                      B register i: rows 2t + 8i + {0, 1}, column g
//   m16n8k32, 8 bits   A register i: row g + 8 (i & 1), columns 4t + 16 (i >> 1) + {0..3};  B: rows 4t + 16i + {0..3}
//   m16n8k8, tf32      A register i: row g + 8 (i & 1), column t + 4 (i >> 1);               B: row t + 4i
//   C and D in all     register i: row g + 8 (i >> 1), column 2t + (i & 1)
// Products are exact and summed in double, so the result is rounded once; tensor cores cut off more.
#include "tensor_core.h"

#include <cstring>

namespace emu {

void* shared_variable(const void* key, std::size_t size, Place place) {
  Machine& m = machine();
  SharedMemory& shared = m.self().block->shared;
  void* variable = shared.variable(key, size);
  if (!variable) m.fail("the block's shared variables exceed its limit of shared memory", place);
  if (shared.static_bytes() > std::size_t{48} << 10)
    m.fail("static shared variables of " + std::to_string(shared.static_bytes()) + " bytes: at most 48 KiB", place);
  return variable;
}

unsigned char* dynamic_shared() {
  return machine().self().block->shared.dynamic();
}

namespace {

struct Row {
  std::uint16_t values[8];
};

template <int COUNT, bool TRANSPOSED>
void distribute(Collective& c) {
  for_lanes(c.arrived, [&](int lane) {
    auto* registers = static_cast<std::uint32_t*>(c.out[lane]);
    for (int i = 0; i < COUNT; ++i) {
      const int row = lane / 4, column = 2 * (lane % 4);
      const auto element = [&](int r, int k) -> std::uint32_t {
        const int from = 8 * i + (TRANSPOSED ? k : r), at = TRANSPOSED ? r : k;
        return c.arrived >> from & 1u ? static_cast<const Row*>(c.in[from])->values[at] : 0xFFFFu;
      };
      registers[i] = element(row, column) | element(row, column + 1) << 16;
    }
  });
}

struct Fragments {
  const std::uint32_t* a;
  std::uint32_t b[2];
};

float value16(Product kind, std::uint32_t bits) {
  const auto half = static_cast<std::uint16_t>(bits);
  return kind == Product::bf16 ? bits_as<float>(std::uint32_t{half} << 16) : __half2float(bits_as<__half>(half));
}

/// c += a b for whole matrices, both as rows of K.
template <int K, class Sum, class Out>
void multiply_add(Collective& c, const Sum (&a)[16][K], const Sum (&b)[8][K]) {
  for_lanes(c.arrived, [&](int lane) {
    auto* accumulators = static_cast<Out*>(c.out[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i >> 1), column = 2 * (lane % 4) + (i & 1);
      Sum sum = static_cast<Sum>(accumulators[i]);
      for (int k = 0; k < K; ++k) sum += a[row][k] * b[column][k];
      if constexpr (std::is_integral_v<Out>)
        accumulators[i] = static_cast<Out>(static_cast<std::uint32_t>(sum));  // wraps
      else
        accumulators[i] = static_cast<Out>(sum);
    }
  });
}

template <Product KIND>
void multiply_16_bits(Collective& c) {
  double a[16][16], b[8][16];
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const bool here = c.arrived >> lane & 1u;
    const auto* operand = static_cast<const Fragments*>(c.in[lane]);
    const auto value = [&](std::uint32_t bits) {
      return here ? static_cast<double>(value16(KIND, bits)) : std::nan("");
    };
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t bits = here ? operand->a[i] : 0;
      double* to = &a[g + 8 * (i & 1)][2 * t + 8 * (i >> 1)];
      to[0] = value(bits & 0xFFFFu);
      to[1] = value(bits >> 16);
    }
    for (int i = 0; i < 2; ++i) {
      const std::uint32_t bits = here ? operand->b[i] : 0;
      double* to = &b[g][2 * t + 8 * i];
      to[0] = value(bits & 0xFFFFu);
      to[1] = value(bits >> 16);
    }
  }
  multiply_add<16, double, float>(c, a, b);
}

void multiply_tf32(Collective& c) {
  double a[16][8], b[8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const bool here = c.arrived >> lane & 1u;
    const auto* operand = static_cast<const Fragments*>(c.in[lane]);
    // The lowest 13 bits of a register are not looked at.
    const auto value = [&](std::uint32_t bits) {
      return here ? static_cast<double>(bits_as<float>(bits & ~0x1FFFu)) : std::nan("");
    };
    for (int i = 0; i < 4; ++i) a[g + 8 * (i & 1)][t + 4 * (i >> 1)] = value(here ? operand->a[i] : 0);
    for (int i = 0; i < 2; ++i) b[g][t + 4 * i] = value(here ? operand->b[i] : 0);
  }
  multiply_add<8, double, float>(c, a, b);
}

template <bool A_SIGNED>
void multiply_8_bits(Collective& c) {
  std::int64_t a[16][32] = {}, b[8][32] = {};
  for_lanes(c.arrived, [&](int lane) {
    const int g = lane / 4, t = lane % 4;
    const auto* operand = static_cast<const Fragments*>(c.in[lane]);
    for (int j = 0; j < 4; ++j) {
      for (int i = 0; i < 4; ++i) a[g + 8 * (i & 1)][4 * t + 16 * (i >> 1) + j] = byte_of(operand->a[i], j, A_SIGNED);
      for (int i = 0; i < 2; ++i) b[g][4 * t + 16 * i + j] = byte_of(operand->b[i], j, true);
    }
  });
  multiply_add<32, std::int64_t, std::int32_t>(c, a, b);
}

bool is_shared(const void* address, std::size_t bytes) {
  return machine().self().block->shared.contains(address, bytes);
}

}  // namespace

void load_matrices(std::uint32_t* registers, const void* row, int count, bool transposed, Place place) {
  const char* name = "ldmatrix";
  Machine& m = machine();
  const Thread& self = m.self();
  Row loaded{};
  if (self.lane < 8 * count) {
    if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) m.fail("ldmatrix: a row is not aligned to 16 bytes", place);
    if (!is_shared(row, sizeof loaded)) m.fail("ldmatrix: a row is not in the block's shared variables", place);
    note_read(row, sizeof loaded);
    std::memcpy(&loaded, row, sizeof loaded);
  }
  if (count == 4)
    m.collective(all_lanes, name, 4, &loaded, registers, transposed ? distribute<4, true> : distribute<4, false>, false,
                 place);
  else
    m.collective(all_lanes, name, 2, &loaded, registers, transposed ? distribute<2, true> : distribute<2, false>, false,
                 place);
}

void multiply(Product kind, void* accumulators, const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1,
              Place place) {
  const Fragments operand{a, {b0, b1}};
  void (*carry_out)(Collective&) = nullptr;
  switch (kind) {
    case Product::bf16: carry_out = multiply_16_bits<Product::bf16>; break;
    case Product::f16: carry_out = multiply_16_bits<Product::f16>; break;
    case Product::tf32: carry_out = multiply_tf32; break;
    case Product::s8: carry_out = multiply_8_bits<true>; break;
    case Product::u8_s8: carry_out = multiply_8_bits<false>; break;
  }
  machine().collective(all_lanes, "mma", 0, &operand, accumulators, carry_out, false, place);
}

// Until the copying thread waits for it, the destination holds garbage. So a missing or wrong wait, a missing barrier
// behind the wait, and a stage that is filled again while others read it, all spoil the result.
void copy_async(void* shared, const void* global, int bytes, int valid_bytes, Place place) {
  Machine& m = machine();
  Thread& self = m.self();
  const auto size = static_cast<std::size_t>(bytes);
  if (reinterpret_cast<std::uintptr_t>(shared) % size != 0 || reinterpret_cast<std::uintptr_t>(global) % size != 0)
    m.fail("cp.async: source and destination must be aligned to " + std::to_string(bytes) + " bytes", place);
  if (!is_shared(shared, size)) m.fail("cp.async: the destination is not in the block's shared variables", place);
  if (valid_bytes < 0 || valid_bytes > bytes)
    m.fail("cp.async: " + std::to_string(valid_bytes) + " of " + std::to_string(bytes) + " bytes are to be read",
           place);
  note_write(shared, size);
  std::memset(shared, 0xFF, size);
  self.copies.push_back(
      {static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global), bytes, valid_bytes});
  ++self.uncommitted;
}

void commit_copies() {
  Thread& self = machine().self();
  self.groups.push_back(self.uncommitted);
  self.uncommitted = 0;
}

void wait_for_copies(std::size_t groups_left_pending) {
  Thread& self = machine().self();
  std::size_t arriving = 0, groups = 0;
  for (; self.groups.size() - groups > groups_left_pending; ++groups) arriving += self.groups[groups];
  for (std::size_t i = 0; i < arriving; ++i) {
    const AsyncCopy& copy = self.copies[i];
    const auto valid = static_cast<std::size_t>(copy.valid_bytes), size = static_cast<std::size_t>(copy.bytes);
    if (valid > 0) {
      note_read(copy.from, valid);
      std::memcpy(copy.to, copy.from, valid);
    }
    if (valid < size) std::memset(copy.to + valid, 0, size - valid);
    note_write(copy.to, size);
  }
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<std::ptrdiff_t>(arriving));
  self.groups.erase(self.groups.begin(), self.groups.begin() + static_cast<std::ptrdiff_t>(groups));
}

std::uint32_t tf32_bits(float a) {
  const auto bits = bits_as<std::uint32_t>(a);
  if ((bits & 0x7F800000u) == 0x7F800000u) return bits;
  return (bits + 0x1000u) & ~0x1FFFu;
}

}  // namespace emu
