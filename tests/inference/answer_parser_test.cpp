// Thinking, answer and tool calls are told apart, however the text is cut into pieces.
#include "inference/answer_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "inference/tool_call.h"

namespace lectern::inference {
namespace {

const char* const tools = R"([{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
  "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "exact": {"type": "boolean"},
                 "where": {"type": ["string", "null"]}, "box": {"type": "array"}}}}},
  {"name": "bare", "parameters": {"properties": {"n": {"type": "number"}}}}])";

/// "thinking|answer|name(arguments);name!problem;" of a text that comes in pieces of `size` bytes.
std::string told(const std::string& text, const AnswerFormat& format, std::size_t size,
                 AnswerParser::Range* range = nullptr) {
  AnswerParser parser(format);
  std::string thinking, answer, calls;
  const auto add = [&](const AnswerParser::Parts& parts) {
    thinking += parts.thinking;
    answer += parts.answer;
    for (const ToolCall& call : parts.calls)
      calls += call.name + (call.problem.empty() ? "(" + call.arguments_json + ")" : "!" + call.problem) + ";";
  };
  for (std::size_t at = 0; at < text.size(); at += size) add(parser.feed(std::string_view(text).substr(at, size)));
  add(parser.finish());
  if (range != nullptr) *range = parser.answer_range();
  return thinking + "|" + answer + "|" + calls;
}

void expect_told(const std::string& text, const AnswerFormat& format, const std::string& expected) {
  for (std::size_t size = 1; size <= text.size() + 1; ++size) ASSERT_EQ(told(text, format, size), expected) << size;
}

const AnswerFormat plain{}, thinks{true, false, ""}, opened{true, true, ""}, calls{false, false, tools},
    all{true, true, tools};

TEST(AnswerParser, TakesEverythingForTheAnswerWhereNothingIsExpected) {
  expect_told("<think>\nx\n</think>\n <tool_call>\n{}\n</tool_call> ", plain,
              "|<think>\nx\n</think>\n <tool_call>\n{}\n</tool_call> |");
}

TEST(AnswerParser, TellsThinkingFromTheAnswer) {
  expect_told("<think>\nhm <b>\n\nso\n</think>\n\nYes.\n", thinks, "hm <b>\n\nso|Yes.\n|");
  expect_told("\n <think>hm</think>Yes", thinks, "hm|Yes|");
  expect_told("<think>\n\n</think>\n\nYes", thinks, "|Yes|");
  expect_told("hm\n</think>\n\nYes </think> <think>", opened, "hm|Yes </think> <think>|");
  expect_told("  No tag.", thinks, "|  No tag.|");
  expect_told("<thin", thinks, "|<thin|");
  expect_told("No <think>tag</think>", thinks, "|No <think>tag</think>|");
}

TEST(AnswerParser, TakesThinkingThatNeverEndsForThinking) {
  expect_told("hm, hm\n</thi", opened, "hm, hm\n</thi||");
  expect_told("hm, hm\n\n", opened, "hm, hm||");
  expect_told("", opened, "||");
}

TEST(AnswerParser, TellsTheAnswerAsItComes) {
  AnswerParser parser(all);
  EXPECT_EQ(parser.feed("hm").thinking, "hm");
  EXPECT_EQ(parser.feed("\n</thi").thinking, "");
  EXPECT_EQ(parser.feed("nk>\n\nYes").answer, "Yes");
  EXPECT_EQ(parser.feed(", \n").answer, ",");
  EXPECT_EQ(parser.feed("no <").answer, " \nno");
  EXPECT_EQ(parser.feed("tool_call").answer, "");
  EXPECT_EQ(parser.feed("s").answer, " <tool_calls");
  EXPECT_EQ(parser.feed("\n<tool_call>\n{\"name\": \"f\"}").calls.size(), 0U);
  EXPECT_EQ(parser.feed("\n</tool_call>").calls.size(), 1U);
}

TEST(AnswerParser, ReadsCallsInJson) {
  expect_told(
      "I look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": 1}}\n"
      "</tool_call>\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Osl\\\"o\\n"
      "</tool_call>\"}}\n</tool_call>",
      calls,
      "|I look.|get_weather({\"city\":\"Rome\",\"days\":1});"
      "get_weather({\"city\":\"Osl\\\"o\\n</tool_call>\"});");
  expect_told(
      "hm\n</think>\n\n<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"b\\\":1,\\\"a\\\":[2.5,null]}\"}</tool_call>\n",
      all, "hm||f({\"b\":1,\"a\":[2.5,null]});");
  expect_told("<tool_call>\n{\"name\": \"f\"}\n</tool_call>", calls, "||f({});");
}

TEST(AnswerParser, ReadsCallsInXmlByTheTypesOfTheParameters) {
  expect_told(
      "<tool_call>\n<function=get_weather>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n12\n</parameter>\n"
      "<parameter=exact>\nTrue\n</parameter>\n<parameter=where>\nnull\n</parameter>\n<parameter=box>\n[1, 2]\n"
      "</parameter>\n<parameter=other>\n3\n</parameter>\n</function>\n</tool_call>",
      calls,
      "||get_weather({\"city\":\"12\",\"days\":12,\"exact\":true,\"where\":null,\"box\":[1,2],\"other\":\"3\"});");
  expect_told(
      "<tool_call>\n<function=get_weather>\n<parameter=city>\n\nA </tool_call> {\"b\n\n</parameter>\n"
      "<parameter=days>\nmany\n</parameter>\n</function>\n</tool_call>",
      calls, "||get_weather({\"city\":\"\\nA </tool_call> {\\\"b\\n\",\"days\":\"many\"});");
  expect_told("<tool_call><function=bare><parameter=n>1.5</parameter></tool_call>", calls, "||bare({\"n\":1.5});");
  expect_told("<tool_call>\n<function=noop>\n</function>\n</tool_call>", calls, "||noop({});");
  expect_told("<tool_call>\n<function=f>\n<parameter=a>\n\n</parameter>\n</function>\n</tool_call>", calls,
              "||f({\"a\":\"\"});");
}

TEST(AnswerParser, NamesTheProblemOfACallThatCannotBeRead) {
  expect_told("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": }}\n</tool_call>\nText", calls,
              "|\nText|!the call is no JSON object;");
  expect_told("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"open}\n</tool_call>\nText", calls,
              "|\nText|!the call is no JSON object;");
  expect_told("<tool_call>\n[1]\n</tool_call>", calls, "||!the call is no JSON object;");
  expect_told("<tool_call>\n{\"name\": 5, \"arguments\": {}}\n</tool_call>", calls, "||!the call names no function;");
  expect_told("<tool_call>\n{\"name\": \"f\", \"arguments\": [1]}\n</tool_call>", calls,
              "||f!the arguments are no JSON object;");
  expect_told("<tool_call>\n{\"name\": \"f\", \"arguments\": \"x\"}\n</tool_call>", calls,
              "||f!the arguments are no JSON object;");
  expect_told("<tool_call></tool_call>", calls, "||!the call is no JSON object;");
  expect_told("<tool_call>\n<function=>\n</function>\n</tool_call>", calls, "||!the call names no function;");
  expect_told("<tool_call>\n<call x>\n</tool_call>", calls, "||!the call is neither JSON nor <function=NAME>;");
  expect_told("<tool_call>\n<function=f>\nwell\n</function>\n</tool_call>", calls,
              "||f!text stands between the parameters;");
  const std::string deep(5000, '[');
  EXPECT_EQ(parse_tool_call("{\"name\": \"f\", \"arguments\": {\"a\": " + deep + "}}", tools).problem,
            "the call is no JSON object");
}

TEST(AnswerParser, EndsACallAtTheNextOne) {
  expect_told("<tool_call>\n{\"name\": \"f\"}\n<tool_call>\n{\"name\": \"g\"}\n</tool_call>", calls, "||f({});g({});");
}

TEST(AnswerParser, SaysThatACallWasCutShort) {
  const std::string json = "Hm.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  const std::string xml = "Hm.\n<tool_call>\n<function=f>\n<parameter=a>\nv\n</parameter>\n</function>\n</tool_call>";
  for (const std::string& whole : {json, xml})
    for (std::size_t size = 15; size < whole.size(); ++size)
      expect_told(whole.substr(0, size), calls, "|Hm.|!the answer ended inside the call;");
  AnswerParser parser(calls);
  parser.feed(json.substr(0, 20));
  EXPECT_EQ(parser.finish().calls.at(0).source, json.substr(15, 5));
}

TEST(AnswerParser, KnowsWhereTheAnswerLies) {
  AnswerParser::Range range;
  told("hm\n</think>\n\nYes. \n<tool_call>\n{\"name\": \"f\"}\n</tool_call>\n", all, 3, &range);
  EXPECT_EQ(range.begin, 13U);
  EXPECT_EQ(range.end, 17U);
  EXPECT_TRUE(range.contiguous);
  told("a<tool_call>\n{\"name\": \"f\"}\n</tool_call>b", calls, 3, &range);
  EXPECT_FALSE(range.contiguous);
}

TEST(ToolCalls, GoBackAsTheTemplateExpectsThem) {
  const ToolCall good = parse_tool_call("{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"é\"}}", tools);
  const ToolCall bad = parse_tool_call("nothing", tools);
  const ToolCall both[] = {bad, good};
  EXPECT_EQ(tool_calls_json(both),
            "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"b\":1,\"a\":\"é\"}}}]");
  EXPECT_EQ(tool_calls_json(std::span(both).first(1)), "");
}

}  // namespace
}  // namespace lectern::inference
