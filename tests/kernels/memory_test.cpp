#include "kernels/memory.h"

#include <gtest/gtest.h>

#include "kernels/error.h"

namespace lectern::kernels {
namespace {

TEST(Arena, GivesAlignedPiecesAndTakesThemBackAtTheEndOfAScope) {
  Arena arena(4096);
  std::byte* first = arena.allocate(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % memory_alignment, 0u);
  {
    const Arena::Scope scope(arena);
    const Tensor x = arena.f32({3, 5});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data) % memory_alignment, 0u);
    EXPECT_EQ(x.size_bytes(), 60);
    EXPECT_EQ(arena.used_bytes(), 128 + 64);
  }
  EXPECT_EQ(arena.used_bytes(), 128);
  EXPECT_EQ(arena.peak_bytes(), 192);
}

TEST(Arena, SaysThatItIsFull) {
  Arena arena(128);
  arena.allocate(64);
  EXPECT_THROW(arena.allocate(65), Error);
  EXPECT_NO_THROW(arena.allocate(64));
}

TEST(Buffer, IsZeroedAndMovable) {
  Buffer a(1000);
  for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(a.data()[i], std::byte{0});
  a.data()[5] = std::byte{7};
  Buffer b = std::move(a);
  EXPECT_EQ(b.data()[5], std::byte{7});
  EXPECT_EQ(b.size_bytes(), 1000);
}

TEST(Buffer, RefusesMoreThanThereCanBe) {
  EXPECT_THROW(Buffer(std::int64_t{1} << 60), Error);
  EXPECT_THROW(Buffer(-1), Error);
}

}  // namespace
}  // namespace lectern::kernels
