// Choosing tokens from logits on the device, as inference/sampler.h does it on the host.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// How one sequence chooses, and how far it is: device memory, written by the host when an answer begins and brought
/// up to date by the device with every choice. The first eight are inference::SamplingOptions, which the host has
/// checked.
struct SamplerState {
  float temperature = 0.0f;  // 0: greedy
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::int32_t top_k = 0;  // 0: off
  std::int32_t penalty_window = 64;
  std::uint64_t random_state = 0;  // begins as the seed
  std::int64_t tokens = 0;         // of prompt and answer; token n stands in the ring of last ids at n % W
  std::int32_t chosen = -1;        // the last token chosen
  std::int32_t failed = 0;         // 1: a row to be chosen from had logits that were not finite; stays 1
  std::int32_t unused[2] = {};
};
inline constexpr std::int64_t sampler_words = 16;  // of i32
static_assert(sizeof(SamplerState) == sampler_words * 4 && std::is_trivially_copyable_v<SamplerState>);

inline constexpr std::int64_t sampling_rows = 64;
inline constexpr std::int64_t sampling_vocabulary = 262144;

// Both operations filter and draw in the order that inference/sampler.h gives (penalties, temperature, top-k, softmax,
// top-p, min-p, draw; ties to the lower id; only ids below `usable_tokens` are looked at) with the same random numbers
// (SplitMix64), so that the same logits give the same token. What differs is rounding: weights and their sums are
// doubles as on the host, added in another (fixed) order, so that a choice can differ where the random number falls
// within about 1e-13 of the border between two tokens; if more than 4096 tokens pass the filters, weights are rounded
// to 2^-44 of the greatest and to 24 bits, and borders move by up to 1e-6. A last bit of a logit near 20 moves them by
// 2e-6.
// Penalties change `logits` in place. A row with a logit that is not finite (before or after penalties) gives token 0
// and sets `failed`, and its sampler stays as it was. Nothing depends on the other rows. Both can be recorded in
// graphs: all but the shapes and `usable_tokens` is device memory. One kernel each; queue.workspace() is used. Errors:
// Error{unsupported} before anything is launched.

/// One token for each of T sequences. logits [T, V] f32; samplers [T, sampler_words] i32 (SamplerState); recent [T, W]
/// i32: the rings of last ids, W at least the penalty window (a longer one is cut to W); chosen [T] i32. Appends
/// to the rings. T = 0: nothing to do.
void sample(Queue& queue, Tensor logits, std::int64_t usable_tokens, Tensor samplers, Tensor recent, Tensor chosen);

/// Tokens of one sequence whose last pass read T tokens: one that was chosen and T - 1 drafts behind it. Row t of
/// logits [T, V] is chosen from as if the drafts before it were part of the sequence, with the random numbers that
/// choosing one by one would draw; choice t is accepted while those before it were the drafts, as
/// inference/answer_reader.h does. drafts [T - 1] i32, -1 for none (nothing behind it is accepted); sampler [1,
/// sampler_words]; recent [1, W]. chosen [T] i32: the choices, of which the first `accepted` + 1 are the answer's next
/// tokens; accepted [1] i32: how many drafts are right, 0 to T - 1; next [1] i32: the last of the new tokens, which is
/// to be read next.
void verify_drafts(Queue& queue, Tensor logits, std::int64_t usable_tokens, ConstTensor drafts, Tensor sampler,
                   Tensor recent, Tensor chosen, Tensor accepted, Tensor next);

}  // namespace lectern::kernels::cuda
