// Two readers of the same values: the database wants every field back, the command line prints the fields of its
// contract. The database's form is the command line's with a few fields more, so there is one function for each part
// and a small addition. Invalid UTF-8 (an answer cut by a crash) is replaced, never thrown.
#include "app/records_json.h"

#include <nlohmann/json.hpp>

namespace lectern::app {

using Json = nlohmann::ordered_json;

namespace {

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json parse(std::string_view text) {
  return Json::parse(text, nullptr, false);
}

template <class Value>
void read(const Json& object, const char* key, Value& value) {
  const auto found = object.find(key);
  if (found == object.end()) return;
  if constexpr (std::is_same_v<Value, std::string>) {
    if (found->is_string()) value = found->template get<std::string>();
  } else if constexpr (std::is_floating_point_v<Value>) {
    if (found->is_number()) value = found->template get<Value>();
  } else {
    if (found->is_number_integer()) value = found->template get<Value>();
  }
}

const Json& child(const Json& object, const char* key) {
  static const Json nothing = Json::object();
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

Json stored_citation(const Citation& citation) {
  Json json = citation_json(citation);
  json["fingerprint"] = citation.fingerprint;
  json["start"] = citation.start;
  json["end"] = citation.end;
  json["answer_end"] = citation.answer_end;
  return json;
}

Citation stored_citation(const Json& json) {
  Citation citation;
  std::string origin, status;
  read(json, "marker", citation.marker);
  read(json, "origin", origin);
  read(json, "status", status);
  citation.origin = citation_origin(origin);
  citation.status = citation_status(status);
  read(json, "fingerprint", citation.fingerprint);
  read(json, "document", citation.document);
  read(json, "page", citation.page);
  read(json, "claimed_page", citation.claimed_page);
  const Json& lines = child(json, "lines");
  if (lines.is_array() && lines.size() == 2 && lines[0].is_number_integer() && lines[1].is_number_integer()) {
    citation.lines = {lines[0].get<int>(), lines[1].get<int>()};
  }
  read(json, "quote", citation.quote);
  read(json, "start", citation.start);
  read(json, "end", citation.end);
  read(json, "answer_end", citation.answer_end);
  return citation;
}

void read_coverage(const Json& json, Coverage& coverage) {
  read(json, "pages", coverage.pages);
  read(json, "pages_given", coverage.pages_given);
  read(json, "pages_omitted", coverage.pages_omitted);
  read(json, "tokens", coverage.tokens);
  read(json, "given_tokens", coverage.given_tokens);
  read(json, "dropped_tokens", coverage.dropped_tokens);
  for (const Json& item : child(json, "pages_without_text")) {
    if (!item.is_object()) continue;
    Coverage::Place place;
    read(item, "document", place.document);
    read(item, "page", place.page);
    coverage.pages_without_text.push_back(std::move(place));
  }
}

void read_usage(const Json& json, inference::Usage& usage) {
  read(json, "prompt_tokens", usage.prompt_tokens);
  read(json, "reused_tokens", usage.reused_tokens);
  read(json, "loaded_tokens", usage.loaded_tokens);
  read(json, "computed_tokens", usage.computed_tokens);
  read(json, "generated_tokens", usage.generated_tokens);
  read(json, "drafted_tokens", usage.drafted_tokens);
  read(json, "accepted_tokens", usage.accepted_tokens);
  using inference::MissReason;
  for (const Json& item : child(json, "miss_reasons")) {
    if (!item.is_string()) continue;
    for (const MissReason reason :
         {MissReason::first_read, MissReason::model_changed, MissReason::settings_changed, MissReason::build_changed,
          MissReason::document_changed, MissReason::order_changed, MissReason::evicted, MissReason::cleared,
          MissReason::damaged, MissReason::cache_off}) {
      if (item.get<std::string>() == inference::name(reason)) usage.miss_reasons.push_back(reason);
    }
  }
}

}  // namespace

const char* name(CitationStatus status) {
  switch (status) {
    case CitationStatus::verified: return "verified";
    case CitationStatus::elsewhere: return "elsewhere";
    case CitationStatus::absent: return "absent";
  }
  return "absent";
}

const char* name(CitationOrigin origin) {
  return origin == CitationOrigin::model ? "model" : "program";
}

const char* name(MessageState state) {
  switch (state) {
    case MessageState::partial: return "partial";
    case MessageState::complete: return "complete";
    case MessageState::stopped: return "stopped";
    case MessageState::failed: return "failed";
  }
  return "failed";
}

const char* name(inference::Role role) {
  switch (role) {
    case inference::Role::system: return "system";
    case inference::Role::user: return "user";
    case inference::Role::assistant: return "assistant";
    case inference::Role::tool: return "tool";
  }
  return "user";
}

CitationStatus citation_status(std::string_view text) {
  if (text == "verified") return CitationStatus::verified;
  if (text == "elsewhere") return CitationStatus::elsewhere;
  return CitationStatus::absent;
}

CitationOrigin citation_origin(std::string_view text) {
  return text == "model" ? CitationOrigin::model : CitationOrigin::program;
}

MessageState message_state(std::string_view text) {
  if (text == "partial") return MessageState::partial;
  if (text == "complete") return MessageState::complete;
  if (text == "failed") return MessageState::failed;
  return MessageState::stopped;
}

inference::Role role(std::string_view text) {
  if (text == "system") return inference::Role::system;
  if (text == "assistant") return inference::Role::assistant;
  return inference::Role::user;
}

Json citation_json(const Citation& citation) {
  Json json;
  json["marker"] = citation.marker;
  json["origin"] = name(citation.origin);
  json["document"] = citation.document;
  json["page"] = citation.page;
  json["claimed_page"] = citation.claimed_page;
  json["lines"] = citation.lines ? Json::array({citation.lines->first, citation.lines->second}) : Json(nullptr);
  json["quote"] = citation.quote;
  json["status"] = name(citation.status);
  return json;
}

Json coverage_json(const Coverage& coverage) {
  Json json;
  json["pages"] = coverage.pages;
  json["pages_given"] = coverage.pages_given;
  json["pages_omitted"] = coverage.pages_omitted;
  Json places = Json::array();
  for (const Coverage::Place& place : coverage.pages_without_text) {
    places.push_back(Json{{"document", place.document}, {"page", place.page}});
  }
  json["pages_without_text"] = std::move(places);
  json["tokens"] = coverage.tokens;
  json["given_tokens"] = coverage.given_tokens;
  json["dropped_tokens"] = coverage.dropped_tokens;
  return json;
}

Json usage_json(const inference::Usage& usage) {
  Json json;
  json["prompt_tokens"] = usage.prompt_tokens;
  json["reused_tokens"] = usage.reused_tokens;
  json["loaded_tokens"] = usage.loaded_tokens;
  json["computed_tokens"] = usage.computed_tokens;
  json["generated_tokens"] = usage.generated_tokens;
  json["drafted_tokens"] = usage.drafted_tokens;
  json["accepted_tokens"] = usage.accepted_tokens;
  Json reasons = Json::array();
  for (const inference::MissReason reason : usage.miss_reasons) reasons.push_back(inference::name(reason));
  json["miss_reasons"] = std::move(reasons);
  return json;
}

Json message_json(const Message& message) {
  Json json;
  json["id"] = message.id;
  json["parent"] = message.parent;
  json["role"] = name(message.role);
  json["text"] = message.text;
  json["state"] = name(message.state);
  Json citations = Json::array();
  for (const Citation& citation : message.citations) citations.push_back(citation_json(citation));
  json["citations"] = std::move(citations);
  if (!message.problem.empty()) json["problem"] = message.problem;
  return json;
}

std::string report_to_text(const AnswerReport& report) {
  Json json;
  json["finish_reason"] = inference::name(report.finish_reason);
  json["coverage"] = coverage_json(report.coverage);
  json["usage"] = usage_json(report.usage);
  json["timing"] = Json{{"ingest_s", report.ingest_s},
                        {"load_s", report.timing.load_s},
                        {"prefill_s", report.timing.prefill_s},
                        {"first_token_s", report.timing.first_token_s},
                        {"decode_tokens_per_s", report.timing.decode_tokens_per_s}};
  const inference::ModelDescription& model = report.model;
  json["model"] = Json{{"name", model.name},
                       {"architecture", model.architecture},
                       {"quantization", model.quantization},
                       {"device", model.device},
                       {"file", model.file},
                       {"window", model.window},
                       {"parameters", model.parameters},
                       {"memory_bytes", model.memory_bytes},
                       {"warning", model.warning}};
  Json unsupported = Json::array();
  for (const Unsupported& item : report.unsupported) {
    unsupported.push_back(Json{{"sentence", item.sentence}, {"start", item.start}, {"end", item.end}});
  }
  json["unsupported"] = std::move(unsupported);
  json["turns_left_out"] = report.turns_left_out;
  return dump(json);
}

AnswerReport report_from_text(std::string_view text) {
  AnswerReport report;
  const Json json = parse(text);
  if (!json.is_object()) return report;
  std::string reason;
  read(json, "finish_reason", reason);
  using inference::FinishReason;
  for (const FinishReason value : {FinishReason::stop, FinishReason::length, FinishReason::window,
                                   FinishReason::repetition, FinishReason::cancelled}) {
    if (reason == inference::name(value)) report.finish_reason = value;
  }
  read_coverage(child(json, "coverage"), report.coverage);
  read_usage(child(json, "usage"), report.usage);
  const Json& timing = child(json, "timing");
  read(timing, "ingest_s", report.ingest_s);
  read(timing, "load_s", report.timing.load_s);
  read(timing, "prefill_s", report.timing.prefill_s);
  read(timing, "first_token_s", report.timing.first_token_s);
  read(timing, "decode_tokens_per_s", report.timing.decode_tokens_per_s);
  const Json& model = child(json, "model");
  read(model, "name", report.model.name);
  read(model, "architecture", report.model.architecture);
  read(model, "quantization", report.model.quantization);
  read(model, "device", report.model.device);
  read(model, "file", report.model.file);
  read(model, "window", report.model.window);
  read(model, "parameters", report.model.parameters);
  read(model, "memory_bytes", report.model.memory_bytes);
  read(model, "warning", report.model.warning);
  read(json, "turns_left_out", report.turns_left_out);
  for (const Json& item : child(json, "unsupported")) {
    if (!item.is_object()) continue;
    Unsupported unsupported;
    read(item, "sentence", unsupported.sentence);
    read(item, "start", unsupported.start);
    read(item, "end", unsupported.end);
    report.unsupported.push_back(std::move(unsupported));
  }
  return report;
}

std::string citations_to_text(const std::vector<Citation>& citations) {
  Json json = Json::array();
  for (const Citation& citation : citations) json.push_back(stored_citation(citation));
  return dump(json);
}

std::vector<Citation> citations_from_text(std::string_view text) {
  std::vector<Citation> citations;
  const Json json = parse(text);
  if (!json.is_array()) return citations;
  for (const Json& item : json) {
    if (item.is_object()) citations.push_back(stored_citation(item));
  }
  return citations;
}

}  // namespace lectern::app
