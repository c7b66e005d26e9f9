// Plan.
//   One kernel a step, a grid of (blocks of a row) x rows. A block of 512 threads has 4096 ids. It counts, in shared
//   memory, how often each of them stands in the window of last ids, applies the penalties in place, and each of its 16
//   warps reads a piece of 256 logits, 8 loads of 128 bytes in flight, for the best candidate and, where nothing limits
//   the candidates to the first k, the sum of weights relative to that one, so that no maximum need be known before.
//   The block of a row that is done last (a ticket) then chooses: greedy from the 594 bests of the pieces; else it
//   sorts those, takes candidates from the best pieces alone (sampling_draw.cuh), at most 4096, sorts them in shared
//   memory and walks along them with weights in double. No pass over the vocabulary is repeated, nothing as long as it
//   is sorted. Flat distributions that need more candidates select by radix over the whole row (sampling_wide.cuh).
//   verify_drafts: the last block of all rows compares the choices with the drafts.
//   Bytes at V = 151,936: 0.61 MB a row, 0.2 us at the H100's 3.35 TB/s, and they lie in the second-level cache after
//   the product that wrote them. So latency is all: about 3 us greedy (a launch, a round trip to memory, a ticket, a
//   reduction), 10 us with top-k 20 (two sorts: 55 and 15 to 36 steps of a barrier), 0.3 to 0.6 ms in the wide case. In
//   double: 40 operations a value where the sum over all is needed: 6 M, 0.2 us on an H100, 20 us on a consumer card.
//   Shared memory: 40 KB a block. Limit: latency. Best public peers: FlashInfer's sampling.cuh (rejection, no sort,
//   other random numbers), 10 to 20 us at this vocabulary; vLLM's sort of the row, above 100 us.
// hot: sample_rows
#include "kernels/cuda/sampling.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/sampling_draw.cuh"
#include "kernels/cuda/sampling_row.cuh"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace sampling {

constexpr int block_ids = block_warps * piece_values;
static_assert(block_ids * sizeof(int) <= list_limit * sizeof(Word64), "the counts of ids lie where the list will");
static_assert(pieces_limit * piece_values == sampling_vocabulary);

struct Arguments {
  float* logits;         // [rows, columns]
  std::int64_t columns;  // V
  int usable;
  int pieces;              // of a row
  int ring;                // W
  SamplerState* samplers;  // [rows], or the one of all rows
  std::int32_t* recent;    // [rows, W], or [W]
  Piece* summaries;        // [rows, pieces]
  std::int32_t* chosen;    // [rows]
  std::int32_t* tickets;   // [rows + 1]
  // Of one sequence with drafts; null for one sequence a row.
  const std::int32_t* drafts;  // [rows - 1]
  std::int32_t* choices;       // [rows], -1 where a row failed
  std::int32_t* accepted;
  std::int32_t* next;
  bool is_one_sequence;
};

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15u;

/// The number in [0, 1) that SplitMix64 draws when its state becomes `state`.
__device__ __forceinline__ double uniform_of(std::uint64_t state) {
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

/// counts[i]: how often id first + i is among the last ids, drafts included. False if there are no penalties.
__device__ inline bool count_window(const Arguments& a, const SamplerState& sampler, const std::int32_t* recent,
                                    int drafts, int first, int* counts) {
  if ((sampler.repetition_penalty == 1.0f && sampler.presence_penalty == 0.0f && sampler.frequency_penalty == 0.0f) ||
      sampler.penalty_window <= 0)
    return false;
  const auto thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < block_ids; i += block_threads) counts[i] = 0;
  __syncthreads();
  const std::int64_t kept = min(sampler.tokens, static_cast<std::int64_t>(a.ring));
  const auto window = static_cast<int>(min(static_cast<std::int64_t>(sampler.penalty_window), kept + drafts));
  for (int i = thread; i < window; i += block_threads) {  // from the last id back
    const int id = i < drafts ? a.drafts[drafts - 1 - i] : recent[(sampler.tokens - 1 - (i - drafts)) % a.ring];
    if (id >= first && id < first + block_ids) atomicAdd(&counts[id - first], 1);
  }
  __syncthreads();
  return true;
}

/// No fused operations: the bits of the host.
__device__ __forceinline__ float penalized(float logit, const SamplerState& sampler, int count) {
  logit = logit < 0.0f ? __fmul_rn(logit, sampler.repetition_penalty) : __fdiv_rn(logit, sampler.repetition_penalty);
  const float frequency = __fmul_rn(sampler.frequency_penalty, static_cast<float>(count));
  return __fsub_rn(logit, __fadd_rn(sampler.presence_penalty, frequency));
}

__device__ __forceinline__ bool is_finite(float x) {
  return (__float_as_uint(x) & 0x7F800000u) != 0x7F800000u;
}

/// One warp: the penalties, the best candidate and the sum of weights of a piece. `counts` may be null.
__device__ inline Piece look_at_piece(float* logits, int first, int usable, const int* counts,
                                      const SamplerState& sampler, bool needs_mass) {
  constexpr int of_lane = piece_values / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  float values[of_lane];
#pragma unroll
  for (int i = 0; i < of_lane; ++i) {
    const int id = first + 32 * i + lane;
    values[i] = id < usable ? logits[id] : 0.0f;
  }
  Word64 best = none;
#pragma unroll
  for (int i = 0; i < of_lane; ++i) {
    const int id = first + 32 * i + lane;
    if (id >= usable) continue;
    const int count = counts ? counts[32 * i + lane] : 0;
    if (count > 0) {
      values[i] = penalized(values[i], sampler, count);
      logits[id] = values[i];
    }
    best = min(best, is_finite(values[i]) ? candidate(values[i], id) : not_finite);
  }
  best = gpu::warp_min(best);
  double mass = 0.0;
  if (needs_mass && best != not_finite) {
    const auto highest = static_cast<double>(logit_of(best)), temperature = static_cast<double>(sampler.temperature);
#pragma unroll
    for (int i = 0; i < of_lane; ++i)
      if (first + 32 * i + lane < usable) mass += exponential((static_cast<double>(values[i]) - highest) / temperature);
    mass = gpu::warp_sum(mass);
  }
  return {best, mass};
}

/// True in all threads of the block that comes last of `count`; what the others wrote before is then seen.
__device__ inline bool is_last(std::int32_t* ticket, int count, int& told) {
  __syncthreads();
  if (threadIdx.x == 0) {
    told = gpu::atomic_add_acquire_release(ticket, 1) == count - 1;
    if (told) gpu::store_release(ticket, 0);
  }
  __syncthreads();
  return told != 0;
}

/// The token of a finished row, -1 if a logit is not finite. The same in every thread.
__device__ inline int choose(const Arguments& a, int row_index, const SamplerState& sampler, int drafts,
                             Shared shared) {
  Row row;
  row.logits = a.logits + row_index * a.columns;
  row.usable = a.usable;
  row.pieces = a.summaries + static_cast<std::int64_t>(row_index) * a.pieces;
  row.piece_count = a.pieces;
  row.temperature = static_cast<double>(sampler.temperature);
  Word64 best = none;
  for (int i = static_cast<int>(threadIdx.x); i < a.pieces; i += block_threads) best = min(best, row.pieces[i].best);
  row.best = block_min(best, shared);
  if (row.best == not_finite) return -1;
  if (!(sampler.temperature > 0.0f)) return id_of(row.best);
  const bool limits = sampler.top_k > 0 && sampler.top_k < a.usable;
  const Filters filters{limits ? sampler.top_k : a.usable, static_cast<double>(sampler.top_p),
                        static_cast<double>(sampler.min_p)};
  return draw(row, filters, uniform_of(sampler.random_state + static_cast<std::uint64_t>(drafts + 1) * golden), shared);
}

/// One thread: `count` tokens become part of the sequence.
__device__ inline void append(SamplerState& sampler, std::int32_t* recent, int ring, const std::int32_t* tokens,
                              int count) {
  for (int i = 0; i < count; ++i) recent[(sampler.tokens + i) % ring] = tokens[i];
  sampler.tokens += count;
  if (count > 0) sampler.chosen = tokens[count - 1];
  if (sampler.temperature > 0.0f) sampler.random_state += static_cast<std::uint64_t>(count) * golden;
}

/// One thread, when all rows have their choices.
__device__ inline void accept(const Arguments& a, int rows) {
  int right = 0;
  while (right + 1 < rows && a.choices[right] >= 0 && a.choices[right] == a.drafts[right]) ++right;
  const bool failed = a.choices[right] < 0;
  append(*a.samplers, a.recent, a.ring, a.choices, failed ? right : right + 1);
  if (failed) a.samplers->failed = 1;
  for (int row = 0; row < rows; ++row) a.chosen[row] = max(a.choices[row], 0);
  *a.accepted = right;
  *a.next = max(a.choices[right], 0);
}

__global__ void __launch_bounds__(block_threads, 1) sample_rows(Arguments a) {
  SHARED_ARRAY(Word64, list, [list_limit]);
  SHARED_ARRAY(Word64, pieces, [pieces_limit]);
  SHARED_ARRAY(double, parts, [block_warps]);
  SHARED_ARRAY(Word64, words, [4]);
  SHARED_ARRAY(int, told, [1]);
  const auto row = static_cast<int>(blockIdx.y), rows = static_cast<int>(gridDim.y);
  const int drafts = a.is_one_sequence ? row : 0;
  SamplerState& sampler = a.samplers[a.is_one_sequence ? 0 : row];
  std::int32_t* const recent = a.recent + (a.is_one_sequence ? 0 : static_cast<std::int64_t>(row) * a.ring);
  {
    const int first = static_cast<int>(blockIdx.x) * block_ids, warp = static_cast<int>(threadIdx.x / 32);
    int* const counts = reinterpret_cast<int*>(list);
    const bool has_penalties = count_window(a, sampler, recent, drafts, first, counts);
    const bool needs_mass = sampler.temperature > 0.0f && (sampler.top_k <= 0 || sampler.top_k >= a.usable);
    const int piece = static_cast<int>(blockIdx.x) * block_warps + warp;
    if (piece < a.pieces) {
      const Piece summary = look_at_piece(a.logits + row * a.columns, piece * piece_values, a.usable,
                                          has_penalties ? counts + warp * piece_values : nullptr, sampler, needs_mass);
      if (threadIdx.x % 32 == 0) a.summaries[static_cast<std::int64_t>(row) * a.pieces + piece] = summary;
    }
  }
  if (!is_last(&a.tickets[row], static_cast<int>(gridDim.x), told[0])) return;
  const std::int32_t choice = choose(a, row, sampler, drafts, Shared{list, pieces, parts, words});
  if (!a.is_one_sequence) {
    if (threadIdx.x != 0) return;  // what is written now all have read, before a barrier in choose()
    append(sampler, recent, a.ring, &choice, choice < 0 ? 0 : 1);
    if (choice < 0) sampler.failed = 1;
    a.chosen[row] = max(choice, 0);
    return;
  }
  if (threadIdx.x == 0) a.choices[row] = choice;
  if (!is_last(&a.tickets[rows], rows, told[0])) return;
  if (threadIdx.x == 0) accept(a, rows);
}

}  // namespace sampling

namespace {

using sampling::Arguments;
using sampling::Piece;

void require_rows(const char* operation, const Tensor& logits, std::int64_t usable_tokens, const Tensor& sampler,
                  const Tensor& recent, std::int64_t samplers) {
  require(is_f32(logits, 2) && logits.dim(0) <= sampling_rows && usable_tokens >= 1 && usable_tokens <= logits.dim(1) &&
              usable_tokens <= sampling_vocabulary,
          operation, {{"logits", logits}},
          "expected [T, V], T at most " + std::to_string(sampling_rows) +
              ", usable tokens between 1 and V and at most " + std::to_string(sampling_vocabulary) + ", got " +
              std::to_string(usable_tokens));
  require(sampler.type == DType::i32 && sampler.rank == 2 && sampler.dim(0) == samplers &&
              sampler.dim(1) == sampler_words && reinterpret_cast<std::uintptr_t>(sampler.data) % 8 == 0 &&
              recent.type == DType::i32 && recent.rank == 2 && recent.dim(0) == samplers && recent.dim(1) >= 1 &&
              recent.dim(1) <= std::int64_t{1} << 30,
          operation, {{"sampler", sampler}, {"recent", recent}},
          "expected for each of " + std::to_string(samplers) + " sequences " + std::to_string(sampler_words) +
              " I32, aligned to 8 bytes, and a ring of at least one id, I32");
}

bool is_ids(const ConstTensor& x, std::int64_t count) {
  return x.type == DType::i32 && x.rank == 1 && x.dim(0) == count;
}

std::int32_t* ids(const Tensor& x) {
  return reinterpret_cast<std::int32_t*>(x.data);
}

void launch(Queue& queue, const Tensor& logits, Arguments arguments, const char* operation) {
  const std::int64_t rows = logits.dim(0);
  arguments.logits = reinterpret_cast<float*>(logits.data);
  arguments.columns = logits.dim(1);
  arguments.pieces = (arguments.usable + sampling::piece_values - 1) / sampling::piece_values;
  arguments.tickets = queue.tickets();
  const std::int64_t summary_bytes = rows * arguments.pieces * static_cast<std::int64_t>(sizeof(Piece));
  std::byte* workspace = queue.workspace(summary_bytes + rows * 4);
  arguments.summaries = reinterpret_cast<Piece*>(workspace);
  arguments.choices = reinterpret_cast<std::int32_t*>(workspace + summary_bytes);
  const auto blocks = static_cast<unsigned>((arguments.pieces + sampling::block_warps - 1) / sampling::block_warps);
  check(LAUNCH(sampling::sample_rows, dim3(blocks, static_cast<unsigned>(rows)), sampling::block_threads, 0,
               queue.stream(), arguments),
        operation);
}

}  // namespace

void sample(Queue& queue, Tensor logits, std::int64_t usable_tokens, Tensor samplers, Tensor recent, Tensor chosen) {
  require_rows("sample", logits, usable_tokens, samplers, recent, logits.dim(0));
  require(is_ids(chosen, logits.dim(0)), "sample", {{"logits", logits}, {"chosen", chosen}}, "expected chosen [T] I32");
  if (logits.dim(0) == 0) return;
  Arguments arguments = {};
  arguments.usable = static_cast<int>(usable_tokens);
  arguments.ring = static_cast<int>(recent.dim(1));
  arguments.samplers = reinterpret_cast<SamplerState*>(samplers.data);
  arguments.recent = ids(recent);
  arguments.chosen = ids(chosen);
  launch(queue, logits, arguments, "sample");
}

void verify_drafts(Queue& queue, Tensor logits, std::int64_t usable_tokens, ConstTensor drafts, Tensor sampler,
                   Tensor recent, Tensor chosen, Tensor accepted, Tensor next) {
  require_rows("verify_drafts", logits, usable_tokens, sampler, recent, 1);
  require(logits.dim(0) >= 1 && is_ids(drafts, logits.dim(0) - 1) && is_ids(chosen, logits.dim(0)) &&
              is_ids(accepted, 1) && is_ids(next, 1),
          "verify_drafts",
          {{"logits", logits}, {"drafts", drafts}, {"chosen", chosen}, {"accepted", accepted}, {"next", next}},
          "expected at least one row, drafts [T - 1], chosen [T], accepted [1] and next [1], I32");
  Arguments arguments = {};
  arguments.usable = static_cast<int>(usable_tokens);
  arguments.ring = static_cast<int>(recent.dim(1));
  arguments.samplers = reinterpret_cast<SamplerState*>(sampler.data);
  arguments.recent = ids(recent);
  arguments.chosen = ids(chosen);
  arguments.drafts = reinterpret_cast<const std::int32_t*>(drafts.data);
  arguments.accepted = ids(accepted);
  arguments.next = ids(next);
  arguments.is_one_sequence = true;
  launch(queue, logits, arguments, "verify_drafts");
}

}  // namespace lectern::kernels::cuda
