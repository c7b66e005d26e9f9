// Byte-level BPE: text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/types.h"

namespace lectern::inference {

/// What a model file says about its vocabulary, as plain values: from the metadata of a GGUF file
/// (tokenizer.ggml.*) or from tokenizer_json.h.
struct TokenizerData {
  std::string model = "gpt2";       // tokenizer.ggml.model; only "gpt2" (byte-level BPE) can be run
  std::string pre;                  // tokenizer.ggml.pre: see pre_tokenizer.h
  std::vector<std::string> tokens;  // by id; normal tokens in the GPT-2 alphabet, added ones as they are
  std::vector<std::int32_t>
      token_types;                  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte; empty: all 1
  std::vector<std::string> merges;  // "left right", best first
  std::optional<TokenId> bos, eos, eot, pad, unk;
  std::vector<TokenId> end_of_turn;   // further tokens that end a turn
  bool add_bos = false;               // the model expects `bos` at the start of a prompt; encode never adds it
  std::optional<bool> nfc;            // Unicode NFC before splitting; nothing: what is usual for `pre`
  std::optional<bool> ignore_merges;  // a piece that is a token by itself is never merged; nothing: usual for `pre`
};

/// All that a model file says about text.
struct ModelTokenizer {
  TokenizerData data;
  std::string chat_template;  // Jinja; empty when there is none
  std::string bos_token;      // text of the tokens, for the template; empty when there is none
  std::string eos_token;
};

enum class SpecialTokens {
  plain_text,  // no added token, special or not, is matched: for whatever a person or a document says
  recognised,  // added tokens are matched on the raw text, leftmost and longest: for template text
};

/// Immutable; every const member may be called from any thread.
class Tokenizer {
 public:
  /// Throws Error{unsupported} for another model or an unknown `pre`, Error{bad_file} for a vocabulary that
  /// contradicts itself.
  explicit Tokenizer(TokenizerData data);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Ids of `text` (UTF-8; invalid bytes are read as U+FFFD). Nothing is added at either end. Time is n log n.
  std::vector<TokenId> encode(std::string_view text, SpecialTokens mode) const;

  /// UTF-8 text of `ids`, control tokens included; invalid bytes become U+FFFD. Ids outside the vocabulary are
  /// skipped. For streaming see utf8_stream.h.
  std::string decode(std::span<const TokenId> ids) const;

  /// The bytes of one token, which need not be whole UTF-8 characters; empty for an id outside the vocabulary.
  std::string_view piece(TokenId id) const;

  /// Control tokens are no text: they are hidden from the reader of an answer.
  bool is_control(TokenId id) const;
  /// A token after which the model's turn is over: eos, eot, <|im_end|>, <|endoftext|>, <|eot_id|> and their like.
  bool is_end_of_turn(TokenId id) const;
  std::vector<TokenId> end_of_turn_ids() const;

  std::int64_t vocabulary_size() const;
  /// The id of the token whose bytes are exactly `text` ("<|im_end|>", " the").
  std::optional<TokenId> token_id(std::string_view text) const;
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  bool add_bos() const;

 private:
  struct Vocabulary;
  std::unique_ptr<const Vocabulary> vocabulary_;
};

}  // namespace lectern::inference
