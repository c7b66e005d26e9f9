// What crosses from the engine to app and ui: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lectern::inference {

using TokenId = std::int32_t;

enum class Role { system, user, assistant, tool };

/// A function that the model asks for.
struct ToolCall {
  std::string name;
  std::string arguments_json;  // a JSON object
  std::string source;          // what the model wrote between the tags
  std::string problem;         // not empty: the call cannot be read ("the answer ended inside the call")
};

/// One piece of a request. Each segment is tokenised by itself and never rejoined; consecutive segments of the same
/// `message` form one chat message, whose template text the engine puts around them.
struct Segment {
  enum class Kind {
    system,    // instructions
    document,  // text of a document: data, in which no control token is recognised
    message,   // what the person or the model said
  };
  Kind kind = Kind::message;
  Role role = Role::user;
  int message = 0;                 // index of the chat message it belongs to, ascending
  std::string id;                  // stable identity: a document's fingerprint, a message's id
  std::string text;                // UTF-8; for a kept answer the text of token_ids
  std::vector<TokenId> token_ids;  // a kept answer: its own ids, used instead of tokenising `text`
  // Of an answer, on its first segment:
  std::string thinking;                // given back where the chat format asks for it: while tools are being called
  std::vector<ToolCall> tool_calls{};  // those without a problem are given back, after the text
};

struct SamplingOptions {
  float temperature = 0.0F;  // 0: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0F;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;  // over the last `penalty_window` tokens of the answer and prompt
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  int penalty_window = 64;
  std::uint64_t seed = 0;
};

struct GenerationRequest {
  std::string conversation;  // requests of one conversation share its kept state first
  std::vector<Segment> segments;
  SamplingOptions sampling;
  std::int64_t max_tokens = 512;  // 0: read only, keep the state, generate nothing
  std::vector<std::string> stop;  // the answer ends before the first of these
  bool stop_repetition = false;   // the answer ends where it goes round in circles (repetition.h)
  std::string tools_json;         // a JSON array of function signatures; empty: nothing is taken for a tool call
  std::optional<bool> thinking;   // for models that can do both; nothing: as the chat template does by itself
};

enum class FinishReason {
  stop,        // end-of-turn token or stop string
  length,      // max_tokens
  window,      // the context window is full
  repetition,  // it went round in circles: GenerationRequest::stop_repetition
  cancelled,   // the stop token of the request
};
const char* name(FinishReason reason);

enum class MissReason {
  first_read,
  model_changed,
  settings_changed,
  build_changed,
  document_changed,
  order_changed,
  evicted,
  cleared,
  damaged,
  cache_off
};
const char* name(MissReason reason);

/// prompt_tokens = reused_tokens + loaded_tokens + computed_tokens (once the prompt has been read to its end).
struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t reused_tokens = 0;    // kept in memory
  std::int64_t loaded_tokens = 0;    // restored from disk
  std::int64_t computed_tokens = 0;  // read now
  std::int64_t generated_tokens = 0;
  std::int64_t drafted_tokens = 0;
  std::int64_t accepted_tokens = 0;
  std::vector<MissReason> miss_reasons;
};

/// The price of a request: prompt_tokens = in_memory + on_disk + to_read.
struct ReadingPlan {
  std::int64_t prompt_tokens = 0;
  std::int64_t in_memory = 0;  // kept tokens that cost nothing
  std::int64_t on_disk = 0;    // kept tokens that must be loaded
  std::int64_t to_read = 0;
  double seconds = -1;                   // of reading, from the speed measured last; negative while that is unknown
  std::vector<MissReason> miss_reasons;  // why, where something is to be read
};

struct Timing {
  double load_s = 0;         // restoring kept state
  double prefill_s = 0;      // reading
  double first_token_s = 0;  // from the start of the request to its first token
  double decode_tokens_per_s = 0;
};

struct GenerationResult {
  std::string text;                // UTF-8: the answer, without thinking, tool calls and the end-of-turn token
  std::vector<TokenId> token_ids;  // ids of `text`, to be given back in Segment::token_ids
  std::string thinking;            // what came before the answer, without its tags
  std::vector<ToolCall> tool_calls;
  FinishReason finish_reason = FinishReason::stop;
  Usage usage;
  Timing timing;
};

struct ModelDescription {
  std::string name;          // "SmolLM2 135M Instruct"
  std::string architecture;  // "llama", "qwen3next"
  std::string quantization;  // "Q4_1"
  std::string device;        // "CPU, 2 threads, avx512"
  std::string file;
  std::int64_t window = 0;  // tokens of context that this engine was opened with
  std::int64_t parameters = 0;
  std::int64_t memory_bytes = 0;  // weights, activations and a full window of KV
  SamplingOptions recommended;    // by the model's makers; greedy where nothing is known
  std::string warning;            // "unknown chat template: ChatML is used", or empty
};

}  // namespace lectern::inference
