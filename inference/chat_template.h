// The text around a conversation, made by executing the template that comes with a model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lectern::inference {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
  std::optional<std::string> reasoning_content;  // an assistant's thinking, without its tags
  std::string tool_calls_json;                   // a JSON array, or empty
};

struct ChatOptions {
  bool add_generation_prompt = true;
  std::string tools_json;  // a JSON array of function signatures, or empty
  std::optional<bool> enable_thinking;
  /// Further variables of the template, as JSON: {"preserve_thinking", "true"}.
  std::vector<std::pair<std::string, std::string>> variables;
  std::optional<std::int64_t> now_s;  // Unix time for strftime_now (UTC); nothing: the clock, in local time
};

/// Immutable; every const member may be called from any thread.
class ChatTemplate {
 public:
  /// A piece of a rendered conversation. The texts of all pieces, joined, are the prompt.
  struct Piece {
    bool is_template = true;  // control tokens are recognised in it; false: a message's own text, in which none is
    int message = -1;         // index of the message whose text this is; -1 for template text and tool calls
    std::string text;
    bool is_reasoning = false;  // the message's reasoning_content rather than its content
  };

  /// `source` is Jinja; empty: ChatML. A source that cannot be run is replaced by ChatML, and `warning` says so.
  ChatTemplate(std::string source, std::string bos_token, std::string eos_token);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// One sentence for the person who opens the model, or empty.
  const std::string& warning() const;

  /// Whether an answer of this model may begin with <think>.
  bool knows_thinking() const;
  /// Whether tool calls are written as <function=NAME> with <parameter=NAME> values.
  bool calls_in_xml() const;

  /// The prompt as one string, byte for byte what jinja2 gives with the settings of `transformers`. Contents are not
  /// told apart from template text: use render_pieces for what a model shall read. Throws Error{bad_request} with the
  /// template's own words when it refuses the conversation or exceeds the limits on time and size.
  std::string render(const std::vector<ChatMessage>& messages, const ChatOptions& options = {}) const;

  /// The prompt cut at the contents of the messages, each exactly once, so that no content can be taken for control
  /// text. A content keeps its white space, or loses it at its ends where the template trims; one of white space alone
  /// has no piece. The template sees stand-ins for the contents: what it would do on finding tags in them does not
  /// happen, except that thinking is told from the answer in an assistant's message if the template knows thinking.
  /// Tool calls are template text, but what could begin a control token in their arguments is not. A template that
  /// refuses system messages gets the system text at the start of the user's. One that loses or repeats a content or
  /// fails: ChatML for this conversation. Both are told in `*warning` if that is not null. Throws Error{bad_request}
  /// with the template's own words when it refuses the conversation.
  std::vector<Piece> render_pieces(const std::vector<ChatMessage>& messages, const ChatOptions& options = {},
                                   std::string* warning = nullptr) const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace lectern::inference
