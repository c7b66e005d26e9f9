#include "app/answer_json.h"

#include <nlohmann/json.hpp>

#include "app/records_json.h"

namespace lectern::app {

using Json = nlohmann::ordered_json;

Json answer_json(const Message& answer) {
  const AnswerReport report = answer.report.value_or(AnswerReport());
  Json json;
  json["session"] = answer.session;
  json["answer"] = answer.text;
  json["finish_reason"] = inference::name(report.finish_reason);
  Json unsupported = Json::array();
  for (const Unsupported& item : report.unsupported) unsupported.push_back(item.sentence);
  json["unsupported"] = std::move(unsupported);
  Json citations = Json::array();
  for (const Citation& citation : answer.citations) citations.push_back(citation_json(citation));
  json["citations"] = std::move(citations);
  json["coverage"] = coverage_json(report.coverage);
  json["usage"] = usage_json(report.usage);
  json["timing"] = Json{{"ingest_s", report.ingest_s},
                        {"load_s", report.timing.load_s},
                        {"prefill_s", report.timing.prefill_s},
                        {"first_token_s", report.timing.first_token_s},
                        {"decode_tokens_per_s", report.timing.decode_tokens_per_s}};
  json["model"] = Json{{"name", report.model.name},
                       {"architecture", report.model.architecture},
                       {"quantization", report.model.quantization},
                       {"device", report.model.device}};
  if (report.turns_left_out > 0) json["turns_left_out"] = report.turns_left_out;
  return json;
}

std::string one_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lectern::app
