#include "inference/synthetic_tokenizer.h"

#include <utility>

#include "inference/utf8.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr std::int32_t normal = 1, control = 3, user_defined = 4, unused = 5;

/// GPT-2's alphabet: a byte that is printable in Latin-1 is itself, the others are U+0100 on, in order.
std::string alphabet_character(int byte) {
  const auto printable = [](int b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE; };
  char32_t character = static_cast<char32_t>(byte);
  if (!printable(byte)) {
    character = 0x100;
    for (int b = 0; b < byte; ++b) character += printable(b) ? 0 : 1;
  }
  std::string text;
  append_utf8(text, character);
  return text;
}

// U+0120 stands for a space. Each part is a byte or an earlier line.
constexpr const char* merges[] = {"Ġ t", "h e",   "Ġ a", "i n",  "e r", "o n",
                                  "r e", "Ġt he", "a n", "an d", "e n", "Ġ and"};
constexpr const char* controls[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
constexpr const char* tags[] = {"<tool_call>",      "</tool_call>", "<tool_response>",
                                "</tool_response>", "<think>",      "</think>"};

constexpr const char* chatml =
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

}  // namespace

ModelTokenizer small_tokenizer(const std::string& pre) {
  ModelTokenizer result;
  TokenizerData& data = result.data;
  const auto add = [&](std::string token, std::int32_t type) {
    data.tokens.push_back(std::move(token));
    data.token_types.push_back(type);
    return static_cast<TokenId>(data.tokens.size() - 1);
  };
  data.pre = pre;
  for (int byte = 0; byte < 256; ++byte) add(alphabet_character(byte), normal);
  for (const std::string merge : merges) {
    data.merges.push_back(merge);
    const std::size_t blank = merge.find(' ');
    add(merge.substr(0, blank) + merge.substr(blank + 1), normal);
  }
  for (const char* token : controls) {
    const TokenId id = add(token, control);
    if (token == controls[0]) data.pad = id;
    if (token == controls[2]) data.eos = id;
  }
  for (const char* token : tags) add(token, user_defined);
  result.eos_token = controls[2];
  result.chat_template = chatml;
  return result;
}

void pad_tokenizer(ModelTokenizer& tokenizer, std::int64_t vocabulary, const std::string& source) {
  TokenizerData& data = tokenizer.data;
  if (std::ssize(data.tokens) > vocabulary)
    throw Error(ErrorKind::bad_request, source + ": has " + std::to_string(data.tokens.size()) +
                                            " tokens, the shape has room for " + std::to_string(vocabulary) +
                                            "; choose another tokenizer or preset");
  data.token_types.resize(data.tokens.size(), normal);
  while (std::ssize(data.tokens) < vocabulary) {
    data.tokens.push_back("[PAD" + std::to_string(data.tokens.size()) + "]");
    data.token_types.push_back(unused);
  }
}

}  // namespace lectern::inference
