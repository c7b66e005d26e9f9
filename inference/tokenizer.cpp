// Added tokens are cut out of the raw text, the rest is normalised, split by the pre-tokenizer and merged piece by
// piece. Words repeat: each call remembers the ids of the pieces it has seen. The memory lives in the call and not in
// the object, so that threads share nothing.
#include "inference/tokenizer.h"

#include <algorithm>
#include <array>
#include <deque>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "inference/byte_pairs.h"
#include "inference/pre_tokenizer.h"
#include "inference/unicode_nfc.h"
#include "inference/utf8.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

enum TokenType : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

constexpr std::size_t remembered_pieces = 65536;      // per call
constexpr std::size_t longest_remembered_piece = 64;  // bytes; longer ones seldom repeat

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using IdByText = std::unordered_map<std::string, TokenId, Hash, std::equal_to<>>;

/// GPT-2's alphabet gives every byte a printable character: itself where it is printable in Latin-1, else the next free
/// one from U+0100 on.
std::array<char32_t, 256> byte_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    characters[b] = printable ? b : next++;
  }
  return characters;
}

/// The bytes that `token` stands for; the token itself when it has characters outside the alphabet.
std::string bytes_of(const std::string& token, const std::unordered_map<char32_t, char>& byte_of) {
  std::string bytes;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(token.size());) {
    const CodePoint point = code_point_at(token, at);
    const auto found = byte_of.find(point.value);
    if (!point.valid || found == byte_of.end()) return token;
    bytes.push_back(found->second);
    at += point.size;
  }
  return bytes;
}

[[noreturn]] void reject(const std::string& what) {
  throw Error(ErrorKind::bad_file, "tokenizer: " + what + "; the model file is damaged, fetch it again");
}

constexpr std::string_view turn_enders[] = {
    "<|im_end|>",      "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",
    "<|end_of_turn|>", "<end_of_turn>", "<|end|>",    "<|eot|>",    "</s>",
};

}  // namespace

struct Tokenizer::Vocabulary {
  PreTokenizer rules = PreTokenizer::gpt_2;
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;
  std::optional<TokenId> bos, eos;
  std::vector<std::string> pieces;              // bytes by id
  std::vector<std::int32_t> types;              // by id
  IdByText id_by_bytes;                         // of what `pieces` holds
  std::array<std::vector<TokenId>, 256> added;  // by first byte, longest first
  std::unordered_set<TokenId> end_of_turn;
  BytePairs pairs{{}, 0};

  bool contains(TokenId id) const { return id >= 0 && id < static_cast<TokenId>(pieces.size()); }
  const std::string& piece(TokenId id) const { return pieces[static_cast<std::size_t>(id)]; }
  std::int32_t type(TokenId id) const { return types[static_cast<std::size_t>(id)]; }

  std::optional<TokenId> added_token_at(std::string_view text, std::size_t at) const {
    for (const TokenId id : added[static_cast<unsigned char>(text[at])])
      if (text.substr(at).starts_with(piece(id))) return id;
    return std::nullopt;
  }
};

namespace {

/// One call of encode: the ids so far and what each piece was.
template <typename Vocabulary>
class Encoding {
 public:
  explicit Encoding(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  void add_text(std::string_view text) {
    if (text.empty()) return;
    if (vocabulary_.nfc)
      if (std::optional<std::string> normal_form = to_nfc(text)) text = kept_.emplace_back(std::move(*normal_form));
    const auto size = static_cast<std::int64_t>(text.size());
    for (std::int64_t at = 0; at < size;) {
      const std::int64_t end = piece_end(vocabulary_.rules, text, at);
      add_piece(text.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(end - at)));
      at = end;
    }
  }
  void add_token(TokenId id) { ids_.push_back(id); }
  std::vector<TokenId> take() { return std::move(ids_); }

 private:
  struct Place {
    std::size_t first, count;  // in ids_
  };

  void add_piece(std::string_view piece) {
    const bool short_enough = piece.size() <= longest_remembered_piece;
    if (short_enough) {
      if (const auto seen = seen_.find(piece); seen != seen_.end()) {
        for (std::size_t i = 0; i < seen->second.count; ++i) {
          const TokenId id = ids_[seen->second.first + i];
          ids_.push_back(id);
        }
        return;
      }
    }
    const std::size_t first = ids_.size();
    encode(piece);
    if (short_enough && seen_.size() < remembered_pieces) seen_.emplace(piece, Place{first, ids_.size() - first});
  }

  void encode(std::string_view piece) {
    if (vocabulary_.ignore_merges) {
      const auto whole = vocabulary_.id_by_bytes.find(piece);
      if (whole != vocabulary_.id_by_bytes.end() && vocabulary_.type(whole->second) == TokenType::normal) {
        ids_.push_back(whole->second);
        return;
      }
    }
    vocabulary_.pairs.encode(piece, ids_);
  }

  const Vocabulary& vocabulary_;
  std::deque<std::string> kept_;  // normalised texts, which the keys of seen_ point into
  std::vector<TokenId> ids_;
  std::unordered_map<std::string_view, Place> seen_;
};

}  // namespace

Tokenizer::Tokenizer(TokenizerData data) {
  if (data.model != "gpt2")
    throw Error(ErrorKind::unsupported, "tokenizer: the kind \"" + data.model.substr(0, 64) +
                                            "\" is not supported; choose a model with byte-level BPE (gpt2)");
  if (data.tokens.empty()) reject("the vocabulary is empty");
  if (data.tokens.size() > 16'000'000) reject("the vocabulary has more than 16 million tokens");
  if (data.token_types.empty()) data.token_types.assign(data.tokens.size(), TokenType::normal);
  if (data.token_types.size() != data.tokens.size())
    reject(std::to_string(data.tokens.size()) + " tokens but " + std::to_string(data.token_types.size()) +
           " token types");

  auto vocabulary = std::make_unique<Vocabulary>();
  vocabulary->rules = pre_tokenizer_named(data.pre);
  vocabulary->nfc = data.nfc.value_or(normalises(vocabulary->rules));
  vocabulary->ignore_merges = data.ignore_merges.value_or(ignores_merges(vocabulary->rules));
  vocabulary->add_bos = data.add_bos;
  vocabulary->types = data.token_types;
  const auto size = static_cast<TokenId>(data.tokens.size());

  const std::array<char32_t, 256> characters = byte_characters();
  std::unordered_map<char32_t, char> byte_of;
  for (std::size_t b = 0; b < 256; ++b) byte_of[characters[b]] = static_cast<char>(static_cast<unsigned char>(b));

  // Merges name tokens as the file writes them; a normal token goes before an added one of the same text.
  IdByText id_by_text;
  id_by_text.reserve(data.tokens.size());
  vocabulary->id_by_bytes.reserve(data.tokens.size());
  vocabulary->pieces.resize(data.tokens.size());
  const auto enter = [&](TokenId id) {
    const std::int32_t type = vocabulary->type(id);
    const std::string& text = data.tokens[static_cast<std::size_t>(id)];
    const bool in_alphabet = type == TokenType::normal || type == TokenType::byte;
    std::string& piece = vocabulary->pieces[static_cast<std::size_t>(id)];
    piece = in_alphabet ? bytes_of(text, byte_of) : text;
    id_by_text.emplace(text, id);
    if (type != TokenType::unused && !piece.empty()) vocabulary->id_by_bytes.emplace(piece, id);
    if ((type == TokenType::control || type == TokenType::user_defined || type == TokenType::unknown) && !piece.empty())
      vocabulary->added[static_cast<unsigned char>(piece.front())].push_back(id);
  };
  for (TokenId id = 0; id < size; ++id)
    if (vocabulary->type(id) == TokenType::normal) enter(id);
  for (TokenId id = 0; id < size; ++id)
    if (vocabulary->type(id) != TokenType::normal) enter(id);
  for (std::vector<TokenId>& ids : vocabulary->added)
    std::stable_sort(ids.begin(), ids.end(),
                     [&](TokenId a, TokenId b) { return vocabulary->piece(a).size() > vocabulary->piece(b).size(); });

  std::array<TokenId, 256> of_byte{};
  for (std::size_t b = 0; b < 256; ++b) {
    std::string text;
    append_utf8(text, characters[b]);
    const auto found = id_by_text.find(text);
    of_byte[b] = found == id_by_text.end() ? BytePairs::no_token : found->second;
  }
  if (std::all_of(of_byte.begin(), of_byte.end(), [](TokenId id) { return id == BytePairs::no_token; }))
    reject("the vocabulary has no token for any single byte");

  vocabulary->pairs = BytePairs(of_byte, static_cast<std::int64_t>(data.merges.size()));
  for (const std::string& merge : data.merges) {
    const std::size_t blank = merge.find(' ');
    if (blank == std::string::npos || blank == 0 || merge.find(' ', blank + 1) != std::string::npos)
      reject("the merge \"" + to_valid_utf8(merge.substr(0, 64)) + "\" is not two tokens");
    const std::string left = merge.substr(0, blank), right = merge.substr(blank + 1);
    const auto left_id = id_by_text.find(left), right_id = id_by_text.find(right),
               joined = id_by_text.find(left + right);
    if (left_id == id_by_text.end() || right_id == id_by_text.end() || joined == id_by_text.end())
      reject("the merge \"" + to_valid_utf8(merge.substr(0, 64)) + "\" names a token that the vocabulary lacks");
    vocabulary->pairs.add(left_id->second, right_id->second, joined->second);
  }

  for (const auto* id : {&data.bos, &data.eos, &data.eot, &data.pad, &data.unk})
    if (*id && !vocabulary->contains(**id))
      reject("the special token id " + std::to_string(**id) + " is outside the vocabulary of " + std::to_string(size));
  vocabulary->bos = data.bos;
  vocabulary->eos = data.eos;
  if (data.eos) vocabulary->end_of_turn.insert(*data.eos);
  if (data.eot) vocabulary->end_of_turn.insert(*data.eot);
  for (const TokenId id : data.end_of_turn)
    if (vocabulary->contains(id)) vocabulary->end_of_turn.insert(id);
  for (const std::string_view text : turn_enders) {
    const auto found = vocabulary->id_by_bytes.find(text);
    if (found != vocabulary->id_by_bytes.end() && vocabulary->type(found->second) != TokenType::normal)
      vocabulary->end_of_turn.insert(found->second);
  }
  vocabulary_ = std::move(vocabulary);
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, SpecialTokens mode) const {
  std::string repaired;
  if (!is_valid_utf8(text)) {
    repaired = to_valid_utf8(text);
    text = repaired;
  }
  Encoding<Vocabulary> encoding(*vocabulary_);
  std::size_t begin = 0;  // of the text that no added token has cut off yet
  if (mode == SpecialTokens::recognised) {
    for (std::size_t at = 0; at < text.size();) {
      const std::optional<TokenId> id = vocabulary_->added_token_at(text, at);
      if (!id) {
        ++at;
        continue;
      }
      encoding.add_text(text.substr(begin, at - begin));
      encoding.add_token(*id);
      at += vocabulary_->piece(*id).size();
      begin = at;
    }
  }
  encoding.add_text(text.substr(begin));
  return encoding.take();
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  std::string bytes;
  for (const TokenId id : ids) bytes += piece(id);
  return to_valid_utf8(bytes);
}

std::string_view Tokenizer::piece(TokenId id) const {
  return vocabulary_->contains(id) ? std::string_view(vocabulary_->piece(id)) : std::string_view();
}

bool Tokenizer::is_control(TokenId id) const {
  return vocabulary_->contains(id) &&
         (vocabulary_->type(id) == TokenType::control || vocabulary_->type(id) == TokenType::unknown);
}

bool Tokenizer::is_end_of_turn(TokenId id) const {
  return vocabulary_->end_of_turn.contains(id);
}

std::vector<TokenId> Tokenizer::end_of_turn_ids() const {
  std::vector<TokenId> ids(vocabulary_->end_of_turn.begin(), vocabulary_->end_of_turn.end());
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::int64_t Tokenizer::vocabulary_size() const {
  return static_cast<std::int64_t>(vocabulary_->pieces.size());
}

std::optional<TokenId> Tokenizer::token_id(std::string_view text) const {
  const auto found = vocabulary_->id_by_bytes.find(text);
  if (found == vocabulary_->id_by_bytes.end()) return std::nullopt;
  return found->second;
}

std::optional<TokenId> Tokenizer::bos() const {
  return vocabulary_->bos;
}
std::optional<TokenId> Tokenizer::eos() const {
  return vocabulary_->eos;
}
bool Tokenizer::add_bos() const {
  return vocabulary_->add_bos;
}

}  // namespace lectern::inference
