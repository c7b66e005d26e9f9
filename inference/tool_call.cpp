// A value of the XML form ends at the first </parameter>; the function's end tag may be missing, as models that are cut
// short by a stop string leave it out, but a value that never ends is a problem: half a value must not be acted on.
#include "inference/tool_call.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace lectern::inference {

using Json = nlohmann::ordered_json;

namespace {

constexpr int deepest_arguments = 200;
constexpr std::string_view white_space = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(white_space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(white_space) - begin + 1);
}

bool is_too_deep(std::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > deepest_arguments) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

/// Discarded where `text` is no JSON or nested too deeply.
Json parsed(std::string_view text) {
  if (is_too_deep(text)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, false);
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The schema of a parameter, or null.
Json schema_of(const Json& tools, const std::string& function, const std::string& parameter) {
  if (!tools.is_array()) return {};
  for (const Json& tool : tools) {
    const Json& signature = tool.is_object() && tool.contains("function") ? tool["function"] : tool;
    if (!signature.is_object() || signature.value("name", Json()) != function) continue;
    const Json::json_pointer path = Json::json_pointer("/parameters/properties") / parameter;
    if (signature.contains(path)) return signature[path];
  }
  return {};
}

/// The text of a parameter as a value of the schema's type.
Json typed(const std::string& text, const Json& schema) {
  if (!schema.is_object()) return text;
  const Json type = schema.value("type", Json());
  const auto is_type = [&](const char* name) {
    return type == name || (type.is_array() && std::ranges::find(type, Json(name)) != type.end());
  };
  if (is_type("string") && !(text == "null" && is_type("null"))) return text;
  if (is_type("boolean") && (text == "True" || text == "False")) return text == "True";  // as Python writes them
  Json value = parsed(text);
  return value.is_discarded() ? Json(text) : value;
}

void parse_json_call(std::string_view body, ToolCall& call) {
  const Json json = parsed(body);
  if (!json.is_object()) {
    call.problem = "the call is no JSON object";
    return;
  }
  if (const Json name = json.value("name", Json()); name.is_string()) call.name = name.get<std::string>();
  if (call.name.empty()) {
    call.problem = "the call names no function";
    return;
  }
  Json arguments = json.value("arguments", Json::object());
  if (arguments.is_string()) arguments = parsed(arguments.get_ref<const std::string&>());  // JSON in a string
  if (arguments.is_object())
    call.arguments_json = dump(arguments);
  else
    call.problem = "the arguments are no JSON object";
}

void parse_xml_call(std::string_view body, std::string_view tools_json, ToolCall& call) {
  constexpr std::string_view function_tag = "<function=", parameter_tag = "<parameter=", parameter_end = "</parameter>";
  const std::size_t name_end = body.find('>');
  if (!body.starts_with(function_tag) || name_end == std::string_view::npos) {
    call.problem = "the call is neither JSON nor <function=NAME>";
    return;
  }
  call.name = trimmed(body.substr(function_tag.size(), name_end - function_tag.size()));
  if (call.name.empty()) {
    call.problem = "the call names no function";
    return;
  }
  const Json tools = parsed(tools_json);
  Json arguments = Json::object();
  std::string_view rest = body.substr(name_end + 1);
  while (true) {
    rest = trimmed(rest);
    if (!rest.starts_with(parameter_tag)) break;
    const std::size_t begin = rest.find('>');
    const std::size_t end = begin == std::string_view::npos ? begin : rest.find(parameter_end, begin);
    if (end == std::string_view::npos) {
      call.problem = "a parameter has no end";
      return;
    }
    const std::string parameter(trimmed(rest.substr(parameter_tag.size(), begin - parameter_tag.size())));
    std::string_view value = rest.substr(begin + 1, end - begin - 1);
    if (value.starts_with('\n')) value.remove_prefix(1);
    if (value.ends_with('\n')) value.remove_suffix(1);
    arguments[parameter] = typed(std::string(value), schema_of(tools, call.name, parameter));
    rest.remove_prefix(end + parameter_end.size());
  }
  if (!rest.empty() && rest != "</function>") {
    call.problem = "text stands between the parameters";
    return;
  }
  call.arguments_json = dump(arguments);
}

}  // namespace

ToolCall parse_tool_call(std::string_view body, std::string_view tools_json) {
  ToolCall call;
  call.source = body;
  body = trimmed(body);
  if (body.starts_with('<'))
    parse_xml_call(body, tools_json, call);
  else
    parse_json_call(body, call);
  return call;
}

std::string tool_calls_json(std::span<const ToolCall> calls) {
  Json list = Json::array();
  for (const ToolCall& call : calls) {
    const Json arguments = parsed(call.arguments_json);
    if (!call.problem.empty() || !arguments.is_object()) continue;
    list.push_back({{"type", "function"}, {"function", {{"name", call.name}, {"arguments", arguments}}}});
  }
  return list.empty() ? std::string() : dump(list);
}

}  // namespace lectern::inference
