// Text does not need colour, but poppler builds a colour transform for every ICC profile of every page it reads: 84 %
// of the time on contracts whose pages carry a profile (66 pages: 2.1 s of processor time with it, 0.21 s without,
// median of 3). The program's own cmsCreateTransform stands before Little CMS's and asks for an empty transform (its
// flag "null transform") while no picture is being drawn.
#include "documents/color_shortcut.h"

#include <dlfcn.h>

#include <cstdint>

namespace lectern::documents {
namespace {

constexpr std::uint32_t null_transform = 0x0200;  // cmsFLAGS_NULLTRANSFORM in lcms2.h
int pictures = 0;                                 // being drawn; one thread

}  // namespace

ColorsWanted::ColorsWanted() {
  ++pictures;
}
ColorsWanted::~ColorsWanted() {
  --pictures;
}

}  // namespace lectern::documents

/// The signature of lcms2.h, with its handles as plain pointers.
extern "C" __attribute__((visibility("default"))) void* cmsCreateTransform(void* input, std::uint32_t input_format,
                                                                           void* output, std::uint32_t output_format,
                                                                           std::uint32_t intent, std::uint32_t flags) {
  using Create = void* (*)(void*, std::uint32_t, void*, std::uint32_t, std::uint32_t, std::uint32_t);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "cmsCreateTransform"));
  if (create == nullptr) return nullptr;
  if (lectern::documents::pictures == 0) flags |= lectern::documents::null_transform;
  return create(input, input_format, output, output_format, intent, flags);
}
