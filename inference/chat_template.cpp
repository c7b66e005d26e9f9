// To cut the prompt at the contents, the template is run with a stand-in for each of them, a word that occurs nowhere
// else, and the result is cut at the stand-ins. The contents themselves never pass through the template, so nothing in
// them can end a turn or call a tool. White space at the ends of a content stays where it is, around the stand-in: so a
// template that trims its contents trims it too. Run with the real contents the template must give the same text; this
// is tried once, with harmless conversations, when the template is opened.
#include "inference/chat_template.h"

#include <algorithm>
#include <string_view>

#include <nlohmann/json.hpp>

#include "inference/jinja/evaluate.h"
#include "inference/jinja/methods.h"
#include "inference/jinja/parser.h"
#include "inference/utf8.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

using jinja::Failure;
using jinja::Value;
using Json = nlohmann::ordered_json;
using Piece = ChatTemplate::Piece;

constexpr std::size_t largest_source_bytes = 1 << 20;
constexpr std::int64_t basic_budget = std::int64_t{512} << 20;  // about two seconds at the worst
constexpr std::int64_t budget_per_byte = 64;                    // of the conversation

constexpr const char* chatml =
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- "
    "endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

Value value_of(const Json& json, int depth) {
  if (depth > jinja::deepest_value) throw Failure(Failure::Kind::limit, "JSON that is nested too deeply");
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    return json.get<double>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return Value(json.get_ref<const std::string&>());
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json) items.push_back(value_of(item, depth + 1));
    return Value::list(std::move(items));
  }
  if (json.is_object()) {
    jinja::Dict dict;
    for (const auto& [key, item] : json.items()) dict.set(key, value_of(item, depth + 1));
    return Value::dict(std::move(dict));
  }
  return jinja::None{};
}

Value parsed(const std::string& text, const char* what) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded())
    throw Error(ErrorKind::bad_request, std::string("chat template: ") + what + " is not valid JSON");
  return value_of(json, 0);
}

/// The largest part of a text without white space at its ends.
struct Core {
  std::string before, core, after;
};

Core core_of(const std::string& text) {
  jinja::Work work(static_cast<std::int64_t>(text.size()) * 4 + 64);
  Core parts;
  const std::string rest = jinja::stripped(text, std::nullopt, jinja::Side::left, work);
  parts.core = jinja::stripped(rest, std::nullopt, jinja::Side::right, work);
  parts.before = text.substr(0, text.size() - rest.size());
  parts.after = rest.substr(parts.core.size());
  return parts;
}

struct StandIn {
  std::string word;
  int message = 0;
  bool is_reasoning = false;
  bool may_be_missing = false;  // earlier thinking and calls may be left out
  Core text;
};

/// What tokens of ChatML models begin with; the templates themselves write them.
constexpr const char* control_beginnings[] = {"<|",           "<think>",         "</think>",        "<tool_call>",
                                              "</tool_call>", "<tool_response>", "</tool_response>"};

/// Every "<" of `json` that begins a control token becomes what `stand_in` gives.
template <class StandInForBracket>
void replace_control_beginnings(std::string& json, const StandInForBracket& stand_in) {
  if (json.find('<') == std::string::npos && json.find('\\') == std::string::npos) return;
  const Json plain = Json::parse(json, nullptr, false);
  if (plain.is_discarded()) return;                                   // refused when it is used
  json = plain.dump(-1, ' ', false, Json::error_handler_t::replace);  // now "<" is nowhere written as \u003c
  for (std::size_t at = json.find('<'); at != std::string::npos; at = json.find('<', at + 1)) {
    const std::string_view rest = std::string_view(json).substr(at);
    if (std::ranges::none_of(control_beginnings, [&](const char* text) { return rest.starts_with(text); })) continue;
    json.replace(at, 1, stand_in());
  }
}

/// Thinking that stands in the content: as the templates of thinking models tell it apart.
void part_thinking(ChatMessage& message) {
  constexpr std::string_view open = "<think>", close = "</think>";
  const std::size_t end = message.content.rfind(close);
  if (message.role != "assistant" || message.reasoning_content || end == std::string::npos) return;
  std::string reasoning = message.content.substr(0, message.content.find(close));
  if (const std::size_t begin = reasoning.rfind(open); begin != std::string::npos)
    reasoning.erase(0, begin + open.size());
  const auto trim_line_breaks = [](std::string& text, bool left, bool right) {
    while (right && !text.empty() && text.back() == '\n') text.pop_back();
    if (left) text.erase(0, std::min(text.find_first_not_of('\n'), text.size()));
  };
  trim_line_breaks(reasoning, true, true);
  message.content.erase(0, end + close.size());
  trim_line_breaks(message.content, true, false);
  message.reasoning_content = std::move(reasoning);
}

std::string joined(const std::vector<Piece>& pieces) {
  std::string text;
  for (const Piece& piece : pieces) text += piece.text;
  return text;
}

}  // namespace

struct ChatTemplate::State {
  std::string source, bos_token, eos_token, warning;
  jinja::Block tree;
  bool knows_thinking = false;

  void use(std::string text) {
    source = std::move(text);
    tree = jinja::parse(source);
    knows_thinking =
        source.find("reasoning_content") != std::string::npos && source.find("</think>") != std::string::npos;
  }

  std::string run(const jinja::Block& block, const std::vector<ChatMessage>& messages,
                  const ChatOptions& options) const {
    jinja::Variables variables;
    std::size_t size = options.tools_json.size();
    std::vector<Value> list;
    for (const ChatMessage& message : messages) {
      jinja::Dict dict;
      dict.set("role", Value(to_valid_utf8(message.role)));
      dict.set("content", Value(to_valid_utf8(message.content)));
      if (message.reasoning_content) dict.set("reasoning_content", Value(to_valid_utf8(*message.reasoning_content)));
      if (!message.tool_calls_json.empty())
        dict.set("tool_calls", parsed(message.tool_calls_json, "a list of tool calls"));
      list.push_back(Value::dict(std::move(dict)));
      size +=
          message.content.size() + message.tool_calls_json.size() + message.reasoning_content.value_or("").size() + 64;
    }
    variables["messages"] = Value::list(std::move(list));
    variables["tools"] =
        options.tools_json.empty() ? Value(jinja::None{}) : parsed(options.tools_json, "the list of tools");
    variables["documents"] = jinja::None{};
    variables["add_generation_prompt"] = options.add_generation_prompt;
    if (!bos_token.empty()) variables["bos_token"] = Value(bos_token);
    if (!eos_token.empty()) variables["eos_token"] = Value(eos_token);
    if (options.enable_thinking) variables["enable_thinking"] = *options.enable_thinking;
    for (const auto& [name, json] : options.variables) variables[name] = parsed(json, "a variable");
    jinja::Evaluator evaluator(std::move(variables), basic_budget + budget_per_byte * static_cast<std::int64_t>(size),
                               options.now_s);
    return evaluator.run(block);
  }

  /// Nothing when a content is missing from the result or stands in it twice.
  std::optional<std::vector<Piece>> cut(const jinja::Block& block, const std::vector<ChatMessage>& messages,
                                        const ChatOptions& options, bool merge_system) const;
};

namespace {

/// A beginning of words that occurs neither in the template nor in the conversation.
std::string unused_word(const std::string& source, const std::vector<ChatMessage>& messages,
                        const ChatOptions& options) {
  for (std::int64_t number = 0;; ++number) {
    const std::string word = "qzx" + std::to_string(number) + "y";
    const auto has_it = [&](const std::string& text) { return text.find(word) != std::string::npos; };
    bool is_used = has_it(source) || has_it(options.tools_json);
    for (const auto& [name, json] : options.variables) is_used = is_used || has_it(json);
    for (const ChatMessage& message : messages)
      is_used = is_used || has_it(message.role) || has_it(message.content) || has_it(message.tool_calls_json) ||
                (message.reasoning_content && has_it(*message.reasoning_content));
    if (!is_used) return word;
  }
}

/// Cuts `text` at the stand-ins, each of which takes back the white space that is left around it.
std::optional<std::vector<Piece>> cut_at(const std::string& text, const std::string& word,
                                         const std::vector<StandIn>& stand_ins) {
  std::vector<Piece> pieces;
  std::vector<bool> seen(stand_ins.size(), false);
  std::size_t begin = 0;  // of the text that belongs to no piece yet
  const auto add_template = [&](std::size_t end) {
    if (end > begin) pieces.push_back({true, -1, text.substr(begin, end - begin), false});
  };
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, begin)) {
    const auto which = std::find_if(stand_ins.begin(), stand_ins.end(),
                                    [&](const StandIn& s) { return text.compare(at, s.word.size(), s.word) == 0; });
    if (which == stand_ins.end()) return std::nullopt;  // a stand-in was cut up
    const auto index = static_cast<std::size_t>(which - stand_ins.begin());
    if (seen[index]) return std::nullopt;
    seen[index] = true;

    const std::string_view before(which->text.before), after(which->text.after);
    std::size_t left = 0, right = 0;
    while (left < before.size() && at - left > begin && text[at - left - 1] == before[before.size() - left - 1]) ++left;
    const std::size_t end = at + which->word.size();
    while (right < after.size() && end + right < text.size() && text[end + right] == after[right]) ++right;
    // Whole characters only.
    while (left > 0 && (before[before.size() - left] & 0xC0) == 0x80) --left;
    while (right > 0 && right < after.size() && (after[right] & 0xC0) == 0x80) --right;

    add_template(at - left);
    pieces.push_back(
        {false, which->message,
         std::string(before.substr(before.size() - left)) + which->text.core + std::string(after.substr(0, right)),
         which->is_reasoning});
    begin = end + right;
  }
  add_template(text.size());
  for (std::size_t i = 0; i < stand_ins.size(); ++i)
    if (!seen[i] && !stand_ins[i].may_be_missing) return std::nullopt;
  return pieces;
}

}  // namespace

std::optional<std::vector<Piece>> ChatTemplate::State::cut(const jinja::Block& block,
                                                           const std::vector<ChatMessage>& messages,
                                                           const ChatOptions& options, bool merge_system) const {
  const std::string word = unused_word(source, messages, options);
  std::vector<StandIn> stand_ins;
  const auto stand_in_for = [&](const std::string& text, std::size_t message, bool is_reasoning) {
    StandIn stand_in{word + std::to_string(stand_ins.size()) + "z", static_cast<int>(message), is_reasoning,
                     is_reasoning, core_of(to_valid_utf8(text))};
    if (stand_in.text.core.empty()) return stand_in.text.before;  // a template may ask whether there is a content
    const std::string shown = stand_in.text.before + stand_in.word + stand_in.text.after;
    stand_ins.push_back(std::move(stand_in));
    return shown;
  };
  std::vector<ChatMessage> shown;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    ChatMessage message = messages[i];
    if (knows_thinking) part_thinking(message);
    message.content = stand_in_for(message.content, i, false);
    if (message.reasoning_content) message.reasoning_content = stand_in_for(*message.reasoning_content, i, true);
    replace_control_beginnings(message.tool_calls_json, [&] {
      stand_ins.push_back({word + std::to_string(stand_ins.size()) + "z", -1, false, true, {"", "<", ""}});
      return stand_ins.back().word;
    });
    shown.push_back(std::move(message));
  }
  if (merge_system) {
    shown[1].content = shown[0].content + "\n\n" + shown[1].content;
    shown.erase(shown.begin());
  }
  return cut_at(run(block, shown, options), word, stand_ins);
}

ChatTemplate::ChatTemplate(std::string source, std::string bos_token, std::string eos_token) {
  auto state = std::make_unique<State>();
  state->bos_token = to_valid_utf8(bos_token);
  state->eos_token = to_valid_utf8(eos_token);
  const auto fall_back = [&](const std::string& reason) {
    state->warning = "the model's chat template cannot be used (" + reason + "); ChatML is used instead";
    state->use(chatml);
  };
  if (source.empty()) {
    state->use(chatml);
  } else if (source.size() > largest_source_bytes) {
    fall_back("it is longer than 1 MiB");
  } else {
    try {
      state->use(to_valid_utf8(source));
      const ChatMessage system{"system", "Answer in one word.", std::nullopt, {}},
          question{"user", "What is the colour of snow?", std::nullopt, {}},
          answer{"assistant", "White.", std::nullopt, {}};
      ChatOptions options;
      options.now_s = 0;
      for (const std::vector<ChatMessage>& probe :
           {std::vector{question}, std::vector{system, question, answer, question}}) {
        try {
          const auto pieces = state->cut(state->tree, probe, options, false);
          if (!pieces || joined(*pieces) != state->run(state->tree, probe, options)) {
            fall_back("it changes the messages");
            break;
          }
        } catch (const Failure& failure) {
          if (failure.kind() != Failure::Kind::refused) throw;
        }
      }
    } catch (const Failure& failure) {
      fall_back(failure.what());
    }
  }
  state_ = std::move(state);
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

bool ChatTemplate::knows_thinking() const {
  return state_->knows_thinking;
}

bool ChatTemplate::calls_in_xml() const {
  return state_->source.find("<function=") != std::string::npos;
}

const std::string& ChatTemplate::warning() const {
  return state_->warning;
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages, const ChatOptions& options) const {
  try {
    return state_->run(state_->tree, messages, options);
  } catch (const Failure& failure) {
    throw Error(ErrorKind::bad_request, std::string("chat template: ") + failure.what());
  }
}

std::vector<Piece> ChatTemplate::render_pieces(const std::vector<ChatMessage>& messages, const ChatOptions& options,
                                               std::string* warning) const {
  const auto tell = [&](const std::string& text) {
    if (warning != nullptr) *warning = text;
  };
  const bool has_system = messages.size() > 1 && messages[0].role == "system" && messages[1].role == "user";
  std::string reason = "it changes the messages";
  for (const bool merge_system : {false, true}) {
    try {
      if (auto pieces = state_->cut(state_->tree, messages, options, merge_system)) {
        if (merge_system)
          tell("the model's chat template takes no system message; it is put before the first question");
        return std::move(*pieces);
      }
      break;
    } catch (const Failure& failure) {
      if (failure.kind() == Failure::Kind::refused) {
        if (!merge_system && has_system) continue;
        throw Error(ErrorKind::bad_request, std::string("chat template: ") + failure.what());
      }
      reason = failure.what();
      break;
    }
  }
  tell("the model's chat template cannot be used for this conversation (" + reason + "); ChatML is used instead");
  try {
    if (auto pieces = state_->cut(jinja::parse(chatml), messages, options, false)) return std::move(*pieces);
  } catch (const Failure& failure) {
    throw Error(ErrorKind::bad_request, std::string("chat template: ") + failure.what());
  }
  throw Error(ErrorKind::bad_request, "chat template: the conversation cannot be rendered");
}

}  // namespace lectern::inference
