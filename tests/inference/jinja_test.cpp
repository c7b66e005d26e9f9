#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "inference/jinja/evaluate.h"
#include "inference/jinja/parser.h"

namespace {

using namespace lectern::inference::jinja;
using Json = nlohmann::ordered_json;

std::string rendered(const std::string& source) {
  const Block block = parse(source);
  Variables variables;
  variables["messages"] = Value::list({});
  variables["tools"] = None{};
  Evaluator evaluator(std::move(variables), std::int64_t{512} << 20, 0);
  return evaluator.run(block);
}

/// What kind of failure a template ends with.
Failure::Kind failure_of(const std::string& source) {
  try {
    rendered(source);
  } catch (const Failure& failure) {
    return failure.kind();
  }
  ADD_FAILURE() << "no failure: " << source.substr(0, 200);
  return Failure::Kind::refused;
}

}  // namespace

TEST(Jinja, GivesWhatTheReferenceGives) {
  std::ifstream file(LECTERN_SOURCE_DIR "/tests/data/jinja_goldens.json");
  const Json goldens = Json::parse(file);
  ASSERT_GT(goldens.size(), 100U);
  for (const Json& golden : goldens) {
    const std::string source = golden.at("source");
    std::string text;
    bool failed = false;
    try {
      text = rendered(source);
    } catch (const Failure& failure) {
      failed = true;
      text = failure.what();
    }
    EXPECT_EQ(failed, golden.contains("error")) << source << "\n" << text;
    if (!failed && golden.contains("expected")) {
      EXPECT_EQ(text, golden.at("expected").get<std::string>()) << source;
    }
  }
}

TEST(Jinja, TellsARefusalFromAMistake) {
  EXPECT_EQ(failure_of("{{ raise_exception('no') }}"), Failure::Kind::refused);
  EXPECT_EQ(failure_of("{{ 1 + 'a' }}"), Failure::Kind::broken);
  EXPECT_EQ(failure_of("{% include 'x' %}"), Failure::Kind::syntax);
  EXPECT_EQ(failure_of("{{ 1 | nonsense }}"), Failure::Kind::syntax);
  EXPECT_EQ(failure_of("{{ 1 is nonsense }}"), Failure::Kind::syntax);
}

TEST(Jinja, SaysTheLineOfAMistake) {
  try {
    parse("one\ntwo\n{{ ( }}");
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("line 3"), std::string::npos) << failure.what();
  }
}

TEST(Jinja, RefusesBrokenSourcesWithoutCrashing) {
  for (const char* source : {"{{",          "{%",         "{#",          "{{ }}",        "{% %}",
                             "{% if %}",    "{% if 1 %}", "{% for %}",   "{% endfor %}", "{% else %}",
                             "{{ 'a }}",    "{{ a. }}",   "{{ a[ }}",    "{{ a | }}",    "{{ a is }}",
                             "{{ (1 }}",    "{{ 1) }}",   "{{ {1 } }}",  "{% set %}",    "{% set x %}",
                             "{% macro %}", "{% raw %}",  "{% break %}", "{{ '\\x4' }}", "{{ 99999999999999999999 }}",
                             "{{ @ }}",     "{{ 1 2 }}",  "{% call x %}"})
    EXPECT_EQ(failure_of(source), Failure::Kind::syntax) << source;
}

TEST(Jinja, EveryBeginningOfATemplateIsReadOrRefused) {
  const std::string source =
      "{% macro m(a, b=[1, {'x': 2.5e3}]) -%} {{ a ~ b|tojson(indent=2) }} {%- endmacro %}{% for k, v in {'a': "
      "1}.items() if k is not none recursive %}"
      "{{ m(k, b=v[1:-1:2]) if loop.first else 'x\\u00e9' }}{# c #}{% raw %}{{ }}{% endraw %}{% else %}{% set ns.x = 1 "
      "%}{% endfor %}";
  for (std::size_t length = 0; length <= source.size(); ++length) {
    try {
      rendered(source.substr(0, length));
    } catch (const Failure&) {
    }
  }
}

TEST(Jinja, AHostileTemplateEndsSoonAndInLittleMemory) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string range = "{% for i in range(99999) %}";
  for (const std::string& source : {
           range + range + range + "x{% endfor %}{% endfor %}{% endfor %}",
           std::string(
               "{% set ns = namespace(x='a') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"),
           std::string("{{ 'abc' * 9999999999 }}"),
           std::string("{{ ['a'] * 9999999999 }}"),
           std::string("{{ 'a' * 9223372036854775807 * 9223372036854775807 }}"),
           std::string("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
           std::string("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}"),
           std::string("{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}"),
           std::string(
               "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x.copy] %}{% endfor %}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor "
                       "%}{{ ns.x | tojson }}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor "
                       "%}{{ ns.x == [ns.x] }}{{ ns.x | string }}"),
           std::string("{% set a = 'a' * 1000000 %}{% for i in range(99999) %}{{ (a ~ 'b') in a }}{% endfor %}"),
           std::string("{% set a = 'a' * 3000000 %}{{ ('a' * 1000000 ~ 'b') in a }}"),
           std::string("{{ 'a' | indent(99999999999) }}"),
           std::string("{{ [1] | tojson(indent=99999999999) }}"),
           "{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}",
           "{{ " + std::string(100000, '[') + " }}",
           "{{ 1" +
               [] {
                 std::string s;
                 for (int i = 0; i < 100000; ++i) s += " + 1";
                 return s;
               }() +
               " }}",
           "{{ a" +
               [] {
                 std::string s;
                 for (int i = 0; i < 100000; ++i) s += ".b";
                 return s;
               }() +
               " }}",
           "{{ 1" +
               [] {
                 std::string s;
                 for (int i = 0; i < 100000; ++i) s += "|abs";
                 return s;
               }() +
               " }}",
           [] {
             std::string s;
             for (int i = 0; i < 100000; ++i) s += "{% if 1 %}";
             return s;
           }(),
           "{{ " +
               [] {
                 std::string s;
                 for (int i = 0; i < 100000; ++i) s += "not ";
                 return s;
               }() +
               "1 }}",
       }) {
    const Failure::Kind kind = failure_of(source);
    EXPECT_TRUE(kind == Failure::Kind::limit || kind == Failure::Kind::syntax) << source.substr(0, 200);
  }
  // Circles and long chains are freed in the end (the address sanitizer watches), without deep recursion.
  rendered("{% set ns = namespace() %}{% set ns.me = ns %}{% set other = namespace(x=ns) %}{% set ns.x = [other] %}");
  rendered(
      "{% set ns = namespace(x=none) %}{% for i in range(90000) %}{% set ns.x = namespace(before=ns.x) %}{% endfor %}");
  rendered(
      "{% macro m() %}{{ m }}{% endmacro %}{% for i in range(9000) %}{% macro n() %}x{% endmacro %}{% endfor %}"
      "{% if false %}{{ m() }}{% endif %}");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(120));
}

TEST(Jinja, FormatsTheTimeItIsGiven) {
  EXPECT_EQ(rendered("{{ strftime_now('%Y-%m-%d %H:%M') }}"), "1970-01-01 00:00");
}
