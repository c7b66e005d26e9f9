// A tokenizer.json describes a pipeline in the words of the `tokenizers` library. Only pipelines that are exactly one
// of our rule sets are taken: a splitting rule that is merely similar would give wrong ids without anyone noticing.
#include "inference/tokenizer_json.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace lectern::inference {

namespace {

using Json = nlohmann::json;
using Path = std::filesystem::path;

constexpr std::int64_t largest_file_bytes = 256LL << 20;
constexpr std::int64_t largest_id = 16'000'000;

struct Rule {
  const char* pre;
  const char* expression;
};
constexpr Rule rules[] = {
    {"qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"qwen35",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"llama-bpe",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"gpt-2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
};

[[noreturn]] void unsupported(const Path& path, const std::string& what) {
  throw Error(ErrorKind::unsupported,
              path.string() + ": " + what + " is not supported; choose a model with a byte-level BPE tokenizer");
}

[[noreturn]] void damaged(const Path& path, const std::string& what) {
  throw Error(ErrorKind::bad_file, path.string() + ": " + what + "; fetch the file again");
}

std::string read_text(const Path& path) {
  std::error_code failure;
  const auto size = std::filesystem::file_size(path, failure);
  if (failure) throw Error(ErrorKind::io, path.string() + ": cannot be read: " + failure.message());
  if (size > static_cast<std::uintmax_t>(largest_file_bytes)) damaged(path, "is larger than 256 MiB");
  std::string text(static_cast<std::size_t>(size), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(text.size())))
    throw Error(ErrorKind::io, path.string() + ": cannot be read");
  return text;
}

Json parse(const Path& path) {
  Json json = Json::parse(read_text(path), nullptr, false);
  if (!json.is_object()) damaged(path, "is not a JSON object");
  return json;
}

/// The member `name`, or null where there is none.
const Json& member(const Json& object, const char* name) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}
bool is_true(const Json& value) {
  return value.is_boolean() && value.get<bool>();
}
bool is_type(const Json& step, const char* type) {
  return text_of(member(step, "type")) == type;
}

/// A step that may be a Sequence, as the list of its steps.
std::vector<Json> steps_of(const Json& step, const char* list_name) {
  if (step.is_null()) return {};
  const Json& list = member(step, list_name);
  if (!is_type(step, "Sequence") || !list.is_array()) return {step};
  return {list.begin(), list.end()};
}

TokenId id_of(const Json& value, const Path& path) {
  if (!value.is_number_integer()) damaged(path, "a token id is not a whole number");
  const auto id = value.get<std::int64_t>();
  if (id < 0 || id > largest_id) damaged(path, "the token id " + std::to_string(id) + " is out of range");
  return static_cast<TokenId>(id);
}

void read_normalizer(const Json& tokenizer, const Path& path, TokenizerData& data) {
  data.nfc = false;
  for (const Json& step : steps_of(member(tokenizer, "normalizer"), "normalizers")) {
    if (!is_type(step, "NFC")) unsupported(path, "the normalizer " + text_of(member(step, "type")));
    data.nfc = true;
  }
}

void read_pre_tokenizer(const Json& tokenizer, const Path& path, TokenizerData& data) {
  const std::vector<Json> steps = steps_of(member(tokenizer, "pre_tokenizer"), "pretokenizers");
  if (steps.empty() || !is_type(steps.back(), "ByteLevel"))
    unsupported(path, "a pre-tokenizer without ByteLevel at its end");
  if (is_true(member(steps.back(), "add_prefix_space"))) unsupported(path, "the option add_prefix_space");
  const Json& use_regex = member(steps.back(), "use_regex");  // true where it is not given
  const bool splits = use_regex.is_null() || is_true(use_regex);
  if (steps.size() == 1 && splits) {
    data.pre = "gpt-2";
    return;
  }
  if (steps.size() == 2 && splits && is_type(steps[0], "Digits") && is_true(member(steps[0], "individual_digits"))) {
    data.pre = "smollm";
    return;
  }
  if (steps.size() == 2 && !splits && is_type(steps[0], "Split") &&
      text_of(member(steps[0], "behavior")) == "Isolated" && !is_true(member(steps[0], "invert"))) {
    const std::string expression = text_of(member(member(steps[0], "pattern"), "Regex"));
    for (const Rule& rule : rules) {
      if (expression != rule.expression) continue;
      data.pre = rule.pre;
      return;
    }
    unsupported(path, "the splitting expression " + expression.substr(0, 200));
  }
  unsupported(path, "this sequence of pre-tokenizers");
}

void read_model(const Json& tokenizer, const Path& path, TokenizerData& data) {
  const Json& model = member(tokenizer, "model");
  // Old files do not name the type; BPE is known by its merges.
  const std::string type = text_of(member(model, "type"));
  if (type != "BPE" && !(type.empty() && member(model, "merges").is_array()))
    unsupported(path, "a tokenizer of type \"" + type + "\"");
  if (is_true(member(model, "byte_fallback"))) unsupported(path, "byte fallback");
  if (!text_of(member(model, "continuing_subword_prefix")).empty() ||
      !text_of(member(model, "end_of_word_suffix")).empty())
    unsupported(path, "a prefix or suffix of subwords");
  data.ignore_merges = is_true(member(model, "ignore_merges"));

  const Json& vocabulary = member(model, "vocab");
  if (!vocabulary.is_object() || vocabulary.empty()) damaged(path, "has no vocabulary");
  const Json& added = member(tokenizer, "added_tokens");
  std::size_t size = 0;
  for (const Json& id : vocabulary) size = std::max(size, static_cast<std::size_t>(id_of(id, path)) + 1);
  if (added.is_array())
    for (const Json& token : added)
      size = std::max(size, static_cast<std::size_t>(id_of(member(token, "id"), path)) + 1);
  data.tokens.assign(size, {});
  data.token_types.assign(size, 5);  // unused, unless named below
  for (const auto& [text, id] : vocabulary.items()) {
    data.tokens[id.get<std::size_t>()] = text;
    data.token_types[id.get<std::size_t>()] = 1;
  }
  if (added.is_array()) {
    for (const Json& token : added) {
      const std::string text = text_of(member(token, "content"));
      for (const char* option : {"single_word", "lstrip", "rstrip"})
        if (is_true(member(token, option)))
          unsupported(path, "the option " + std::string(option) + " of the added token " + text);
      const auto id = static_cast<std::size_t>(id_of(member(token, "id"), path));
      data.tokens[id] = text;
      data.token_types[id] = is_true(member(token, "special")) ? 3 : 4;
    }
  }

  const Json& merges = member(model, "merges");
  if (!merges.is_array()) damaged(path, "has no list of merges");
  data.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_string())
      data.merges.push_back(merge.get<std::string>());
    else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      data.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    else
      damaged(path, "holds a merge that is not two tokens");
  }
}

/// Whether the post-processor puts a token before a text.
bool puts_token_first(const Json& tokenizer) {
  for (const Json& step : steps_of(member(tokenizer, "post_processor"), "processors")) {
    const Json& single = member(step, "single");
    if (single.is_array() && !single.empty() && !member(single[0], "SpecialToken").is_null()) return true;
  }
  return false;
}

/// "<s>" or {"content": "<s>", ...}.
std::string token_text(const Json& value) {
  return value.is_object() ? text_of(member(value, "content")) : text_of(value);
}

std::optional<TokenId> id_of_text(const TokenizerData& data, const std::string& text) {
  if (text.empty()) return std::nullopt;
  for (std::size_t id = 0; id < data.tokens.size(); ++id)
    if (data.tokens[id] == text) return static_cast<TokenId>(id);
  return std::nullopt;
}

std::string chat_template_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array())
    for (const Json& named : value)
      if (text_of(member(named, "name")) == "default") return text_of(member(named, "template"));
  return {};
}

/// One id or a list of ids, or nothing.
void add_ends_of_turn(const Json& eos, const Path& path, TokenizerData& data) {
  if (eos.is_array())
    for (const Json& id : eos) data.end_of_turn.push_back(id_of(id, path));
  else if (!eos.is_null())
    data.end_of_turn.push_back(id_of(eos, path));
}

}  // namespace

ModelTokenizer read_tokenizer_json(const Path& path) {
  const bool is_folder = std::filesystem::is_directory(path);
  const Path folder = is_folder ? path : path.parent_path();
  const Path file = is_folder ? path / "tokenizer.json" : path;
  ModelTokenizer result;
  TokenizerData& data = result.data;

  const Json tokenizer = parse(file);
  read_normalizer(tokenizer, file, data);
  read_pre_tokenizer(tokenizer, file, data);
  read_model(tokenizer, file, data);
  data.add_bos = puts_token_first(tokenizer);

  if (const Path config_file = folder / "tokenizer_config.json"; std::filesystem::exists(config_file)) {
    const Json config = parse(config_file);
    result.bos_token = token_text(member(config, "bos_token"));
    result.eos_token = token_text(member(config, "eos_token"));
    data.bos = id_of_text(data, result.bos_token);
    data.eos = id_of_text(data, result.eos_token);
    data.pad = id_of_text(data, token_text(member(config, "pad_token")));
    if (member(config, "add_bos_token").is_boolean()) data.add_bos = is_true(member(config, "add_bos_token"));
    result.chat_template = chat_template_of(member(config, "chat_template"));
  }
  if (!data.bos) data.add_bos = false;
  if (const Path template_file = folder / "chat_template.json"; std::filesystem::exists(template_file))
    result.chat_template = chat_template_of(member(parse(template_file), "chat_template"));
  if (const Path template_file = folder / "chat_template.jinja"; std::filesystem::exists(template_file))
    result.chat_template = read_text(template_file);
  if (const Path generation_file = folder / "generation_config.json"; std::filesystem::exists(generation_file)) {
    const Json generation = parse(generation_file);
    add_ends_of_turn(member(generation, "eos_token_id"), generation_file, data);
  }
  // Multimodal models end a text in their text_config and a turn in the files above: both stop.
  if (const Path model_file = folder / "config.json"; is_folder && std::filesystem::exists(model_file)) {
    const Json model = parse(model_file);
    add_ends_of_turn(member(model, "eos_token_id"), model_file, data);
    add_ends_of_turn(member(member(model, "text_config"), "eos_token_id"), model_file, data);
  }
  return result;
}

}  // namespace lectern::inference
